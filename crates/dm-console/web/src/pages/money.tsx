// Tokens, balances, transfers, and what is stuck.
import { useState } from "preact/hooks";
import { ask as request, get, may, query, send } from "../api";
import { contacts, nameOf } from "../contacts";
import { short, smallest, time, tokens as inTokens } from "../format";
import { t, type Key } from "../i18n";
import { asFailure, useLoad } from "../ui/load";
import { act, ask, Badge, Copy, Empty, Field, Foreign, Hash, PageHead, Section, Table, Trouble, Waiting, say, type Tone } from "../ui/parts";
import type { Token } from "./share";

interface Order {
  id: string;
  kind: "transfer" | "approve" | "issue_token" | "mint";
  purpose: "request" | "payment" | "refund";
  status: "accepted" | "sent" | "completed" | "failed" | "called_off" | "ended";
  token: string;
  from: string;
  to: string;
  amount: string;
  tx_hash: string | null;
  reason?: string;
  attempts?: number;
  next_try?: number;
  timestamp: number;
}

const TONE: Record<Order["status"], Tone> = { accepted: "info", sent: "info", completed: "good", failed: "bad", called_off: "none", ended: "none" };
const TOPICS = ["token."];

export function MoneyPage() {
  const accounts = useLoad((signal) => get<{ address: string; operator: string }>("/account", signal), []);
  const known = useLoad((signal) => get<{ tokens: Token[] }>("/tokens", signal), [], TOPICS);
  const all = known.value?.tokens ?? [];
  const operator = accounts.value?.operator;
  return (
    <>
      <PageHead title={t("nav.money")} lead={t("money.lead")} />
      <Trouble failure={accounts.failure ?? known.failure} retry={() => { accounts.reload(); known.reload(); }} />
      {operator && <Balances account={operator} tokens={all} />}
      <Transfers tokens={all} />
      {may("admin") && operator && <div class="columns"><TransferForm account={operator} tokens={all} /><AddToken done={known.reload} /></div>}
    </>
  );
}

function Balances({ account, tokens }: { account: string; tokens: Token[] }) {
  const { value, failure, reload } = useLoad(
    (signal) => Promise.all(tokens.map(({ address }) => get<{ balance: string }>(`/balance/${account}${query({ token: address })}`, signal))),
    [account, tokens.map(({ address }) => address).join()],
    TOPICS,
  );
  return (
    <Section title={t("money.balances")} actions={<><span class="quiet-text">{t("money.operator")} <Hash id={account} /></span><Copy text={account} label={t("money.operator")} /></>}>
      <Trouble failure={failure} retry={reload} />
      <ul class="balances">
        {tokens.map((token, index) => (
          <li class="balance">
            <p class="tile-value">{value?.[index] ? inTokens(value[index].balance, token.decimals) : "…"} <span class="unit">{token.symbol}</span></p>
            <p class="quiet-text"><Foreign text={token.name} />{token.type === "erc20" && <> · <Hash id={token.address} /></>}</p>
          </li>
        ))}
      </ul>
    </Section>
  );
}

function Transfers({ tokens }: { tokens: Token[] }) {
  const { value, failure, reload } = useLoad((signal) => get<{ transfers: Order[] }>(`/transfers${query({ limit: 200 })}`, signal), [], TOPICS);
  const amount = (order: Order) => {
    const token = tokens.find(({ address }) => address.toLowerCase() === order.token.toLowerCase());
    return token ? `${inTokens(order.amount, token.decimals)} ${token.symbol}` : order.amount;
  };
  const who = (address: string) => <bdi title={address}>{nameOf(address) ?? short(address)}</bdi>;
  const isStuck = (order: Order) => order.purpose === "refund" && order.status === "failed";
  const end = (order: Order) =>
    ask({
      title: t("money.endTitle"),
      text: <p>{t("money.endText")}</p>,
      action: t("money.end"),
      isDanger: true,
      run: () => act(() => send("POST", `/transfers/${order.id}/end`, { reason: t("money.endReason") }), t("money.ended")).then(reload),
    });
  const stuck = value?.transfers.filter(isStuck) ?? [];
  return (
    <Section title={t("money.transfers")} actions={stuck.length > 0 && <Badge tone="bad">{t("money.stuck", { count: stuck.length })}</Badge>}>
      <Trouble failure={failure} retry={reload} />
      {!value && !failure && <Waiting />}
      {value?.transfers.length === 0 && <Empty title={t("money.none")}>{t("money.noneDo")}</Empty>}
      {value && value.transfers.length > 0 && (
        <Table<Order> label={t("money.transfers")} rows={[...stuck, ...value.transfers.filter((order) => !isStuck(order))]} id={({ id }) => id} columns={[
          { title: t("word.state"), cell: (order) => <><Badge tone={TONE[order.status]}>{t(`money.status.${order.status}` as Key)}</Badge>{order.reason && <p class="reason">{order.reason}</p>}{order.next_try && <p class="reason">{t("money.nextTry", { time: time(order.next_try * 1000) })}</p>}</> },
          { title: t("money.what"), cell: (order) => t(`money.purpose.${order.purpose === "request" ? order.kind : order.purpose}` as Key) },
          { title: t("money.amount"), isNumber: true, cell: amount },
          { title: t("money.from"), cell: ({ from }) => who(from) },
          { title: t("money.to"), cell: ({ to }) => who(to) },
          { title: t("word.time"), cell: ({ timestamp }) => time(timestamp * 1000) },
          { title: t("word.actions"), cell: (order) => isStuck(order) && may("admin") && (
            <div class="actions">
              <button type="button" class="small" onClick={() => act(() => send("POST", `/transfers/${order.id}/retry`), t("money.retried")).then(reload)}>{t("act.retry")}</button>
              <button type="button" class="quiet small" onClick={() => end(order)}>{t("money.end")}</button>
            </div>
          ) },
        ]} />
      )}
    </Section>
  );
}

function TransferForm({ account, tokens }: { account: string; tokens: Token[] }) {
  const [to, setTo] = useState("");
  const [amount, setAmount] = useState("");
  const [address, setAddress] = useState("");
  const [fault, setFault] = useState<{ field: string; text: string }>();
  const token = tokens.find((one) => one.address === address) ?? tokens[0];
  const submit = (event: Event) => {
    event.preventDefault();
    if (!token) return;
    const units = smallest(amount, token.decimals);
    if (!units) return setFault({ field: "amount", text: t("error.amount") });
    setFault(undefined);
    const key = crypto.getRandomValues(new Uint8Array(16)).reduce((text, byte) => text + byte.toString(16).padStart(2, "0"), "");
    ask({
      title: t("money.confirm"),
      text: <p>{t("money.confirmText", { amount: `${inTokens(units, token.decimals)} ${token.symbol}`, to })}</p>,
      action: t("money.transferDo"),
      run: async () => {
        try {
          await transfer({ from: account, to: to.trim(), amount: units, token: token.address }, key);
          say(t("money.transferred"));
          setAmount("");
        } catch (error) {
          const { field, message } = asFailure(error);
          setFault({ field: field ?? "amount", text: message });
        }
      },
    });
  };
  return (
    <Section title={t("money.transfer")}>
      <form class="form" onSubmit={submit}>
        <Field label={t("money.to")} fault={fault?.field === "to" ? fault.text : undefined} hint={t("share.toHint")}>
          {(props) => <input {...props} required list="payees" spellcheck={false} value={to} onInput={(event) => setTo(event.currentTarget.value)} />}
        </Field>
        <datalist id="payees">{contacts.value.map(({ name }) => <option value={name} />)}</datalist>
        <Field label={t("money.amount")} fault={fault && fault.field !== "to" ? fault.text : undefined}>
          {(props) => (
            <div class="row">
              <input {...props} required inputMode="decimal" value={amount} onInput={(event) => setAmount(event.currentTarget.value)} />
              <select aria-label={t("share.priceToken")} value={token?.address} onChange={(event) => setAddress(event.currentTarget.value)}>{tokens.map(({ address, symbol }) => <option value={address}>{symbol}</option>)}</select>
            </div>
          )}
        </Field>
        <button class="primary">{t("money.transferDo")}</button>
      </form>
    </Section>
  );
}

async function transfer(order: Record<string, string>, key: string) {
  await request("/transfer", { method: "POST", json: order, headers: { "Idempotency-Key": key } });
}

function AddToken({ done }: { done: () => void }) {
  const [address, setAddress] = useState("");
  const submit = async (event: Event) => {
    event.preventDefault();
    if (await act(() => send("POST", "/tokens", { address: address.trim() }), t("money.added"))) {
      setAddress("");
      done();
    }
  };
  return (
    <Section title={t("money.addToken")}>
      <form class="form" onSubmit={submit}>
        <Field label={t("money.contract")} hint={t("money.contractHint")}>
          {(props) => <input {...props} required class="mono" spellcheck={false} placeholder="0x" value={address} onInput={(event) => setAddress(event.currentTarget.value)} />}
        </Field>
        <button>{t("act.add")}</button>
      </form>
    </Section>
  );
}
