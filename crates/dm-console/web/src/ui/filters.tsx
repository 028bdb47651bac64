// Which lines of a list are shown.
import { useState } from "preact/hooks";
import { t } from "../i18n";

export interface Filter {
  name?: string;
  party?: string;
  state?: string;
  label?: string;
}

export function Filters({ states, stateText, party, change, withLabel = false }: { states: string[]; stateText: (state: string) => string; party: string; change: (filter: Filter) => void; withLabel?: boolean }) {
  const [filter, setFilter] = useState<Filter>({});
  const set = (part: Filter, isDone: boolean) => {
    const next = { ...filter, ...part };
    setFilter(next);
    if (isDone) change(clean(next));
  };
  const submit = (event: Event) => {
    event.preventDefault();
    change(clean(filter));
  };
  const text = (name: "name" | "party" | "label", label: string) => (
    <input type="search" dir="auto" aria-label={label} placeholder={label} value={filter[name] ?? ""}
      onInput={(event) => set({ [name]: event.currentTarget.value }, event.currentTarget.value === "")} onChange={() => change(clean(filter))} />
  );
  return (
    <form class="filters" role="search" onSubmit={submit}>
      {text("name", t("word.name"))}
      {text("party", party)}
      {withLabel && text("label", t("list.label"))}
      <select aria-label={t("list.state")} value={filter.state ?? ""} onChange={(event) => set({ state: event.currentTarget.value }, true)}>
        <option value="">{t("list.everyState")}</option>
        {states.map((state) => <option value={state}>{stateText(state)}</option>)}
      </select>
    </form>
  );
}

/** A label without `=` matches nothing that the node knows; it is not sent until it has one. */
function clean(filter: Filter): Filter {
  const given = Object.entries(filter).map(([name, value]) => [name, value?.trim()] as const);
  return Object.fromEntries(given.filter(([name, value]) => value && (name !== "label" || value.includes("=")))) as Filter;
}
