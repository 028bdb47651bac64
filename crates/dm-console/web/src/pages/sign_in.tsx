// Sign-in: with an account of the company where the node has that, and with an API key.
import { useEffect, useRef, useState } from "preact/hooks";
import { get, hasEnded, signIn } from "../api";
import { t, type Key } from "../i18n";
import { route } from "../route";
import { asFailure } from "../ui/load";
import { Field } from "../ui/parts";
import { Preferences } from "../ui/preferences";

interface Account {
  name: string;
  url: string;
}

/** Where the person was when the account was asked for. */
const PLACE = "dm.place";
const FAULTS = ["denied", "unreachable", "no-role", "stale", "refused"];

/** Goes on where the person was before they went away to sign in. */
export function comeBack() {
  const place = sessionStorage.getItem(PLACE);
  sessionStorage.removeItem(PLACE);
  if (place?.startsWith("#/") && /^(#\/?|#\/sign-in.*)?$/.test(location.hash)) location.replace(place);
}

/** Why the account did not open the console, as the node has put it into the address. */
function fault(): string {
  const { page, rest } = route.value;
  const name = page === "sign-in" ? rest[0] : undefined;
  return name && FAULTS.includes(name) ? t(`signIn.fault.${name}` as Key) : "";
}

export function SignIn({ trouble }: { trouble: string }) {
  const [account, setAccount] = useState<Account | null>(null);
  const refused = fault();
  useEffect(() => {
    get<{ account: Account | null }>("/sign-in").then(({ account }) => setAccount(account), () => {});
  }, []);
  useEffect(() => {
    document.title = `${t("signIn.title")} · DataMgmt Node`;
  });
  const leave = ({ url }: Account) => {
    if (route.value.page !== "sign-in") sessionStorage.setItem(PLACE, location.hash);
    location.assign(url);
  };
  return (
    <main class="sign-in">
      <div class="card form">
        <p class="brand"><span class="brand-mark" aria-hidden="true" />DataMgmt</p>
        <h1>{t("signIn.title")}</h1>
        <p class="quiet-text">{t("signIn.lead")}</p>
        {refused && <div class="trouble" role="alert"><p>{refused}</p></div>}
        {account && (
          <>
            <button type="button" class="primary large" onClick={() => leave(account)}>{account.name ? t("signIn.account", { name: account.name }) : t("signIn.ownAccount")}</button>
            <p class="quiet-text or">{t("signIn.or")}</p>
          </>
        )}
        <WithKey trouble={trouble} isOnly={!account} />
        <Preferences />
      </div>
    </main>
  );
}

function WithKey({ trouble, isOnly }: { trouble: string; isOnly: boolean }) {
  const [key, setKey] = useState("");
  const [fault, setFault] = useState(trouble);
  const [isBusy, setBusy] = useState(false);
  const input = useRef<HTMLInputElement>(null);
  useEffect(() => setFault(trouble || (hasEnded.value ? t("signIn.ended") : "")), [trouble]);
  const submit = async (event: Event) => {
    event.preventDefault();
    setBusy(true);
    try {
      await signIn(key);
    } catch (error) {
      const failure = asFailure(error);
      setFault(failure.status === 401 ? t("signIn.wrong") : failure.message);
      setBusy(false);
      input.current?.focus();
    }
  };
  return (
    <form class="form" onSubmit={submit}>
      <Field label={t("signIn.key")} hint={t("signIn.hint")} fault={fault || undefined}>
        {(props) => <input {...props} ref={input} type="password" required autocomplete="current-password" spellcheck={false} value={key} onInput={(event) => setKey(event.currentTarget.value)} />}
      </Field>
      <button class={isOnly ? "primary large" : "large"} disabled={isBusy}>{t("signIn.do")}</button>
    </form>
  );
}
