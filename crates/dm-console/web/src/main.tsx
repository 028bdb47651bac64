// The console: sign-in, or the pages.
import { render } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { hasEnded, may, recall, session, signIn, signOut, get } from "./api";
import { loadContacts } from "./contacts";
import { follow, forget, isLive, leave } from "./live";
import { route } from "./route";
import { theme, type Theme } from "./theme";
import { chooseLanguage, language, languages, t, type Key } from "./i18n";
import { watchNode, health } from "./ui/history";
import { asFailure } from "./ui/load";
import { Badge, Field, Foreign, Notes, QuestionDialog, say } from "./ui/parts";
import { HEALTH_TONE, Overview } from "./pages/overview";
import { SharePage, unfinished } from "./pages/share";
import { InboxPage } from "./pages/inbox";
import { SharesPage } from "./pages/shares";
import { ReceiptsPage } from "./pages/receipts";
import { MoneyPage } from "./pages/money";
import { NetworkPage } from "./pages/network";
import { AdminPage } from "./pages/admin";

const PAGES = ["overview", "share", "inbox", "shares", "receipts", "money", "network", "admin"] as const;

function Page() {
  const { page, rest, query } = route.value;
  switch (page) {
    case "share": return <SharePage />;
    case "inbox": return <InboxPage hash={rest[0]} />;
    case "shares": return <SharesPage hash={rest[0]} />;
    case "receipts": return <ReceiptsPage rest={rest} query={query} />;
    case "money": return <MoneyPage />;
    case "network": return <NetworkPage />;
    case "admin": return <AdminPage part={rest[0]} />;
    default: return <Overview />;
  }
}

function Console() {
  const [isMenuOpen, setMenuOpen] = useState(false);
  const [node, setNode] = useState("");
  const page = route.value.page;
  useEffect(() => {
    if (may("read")) {
      follow(session.value!.key_id);
      loadContacts().catch(() => {});
    }
    get<{ node_id: string }>("/dashboard/info").then(({ node_id }) => setNode(node_id), () => {});
    const stop = watchNode();
    return () => {
      stop();
      leave();
    };
  }, []);
  useEffect(() => setMenuOpen(false), [page]);
  const state = health.value?.status;
  return (
    <>
      <a class="skip" href="#main" onClick={(event) => { event.preventDefault(); document.getElementById("main")?.focus(); }}>{t("act.skip")}</a>
      <header class="top">
        <button type="button" class="menu-button quiet" aria-expanded={isMenuOpen} aria-controls="menu" onClick={() => setMenuOpen(!isMenuOpen)}><span aria-hidden="true">☰</span><span class="visually-hidden">{t("act.menu")}</span></button>
        <p class="brand"><span class="brand-mark" aria-hidden="true" />DataMgmt{node && <span class="brand-node"><Foreign text={node} /></span>}</p>
        <div class="top-state" role="status">
          {!isLive.value && may("read") ? <Badge tone="warn">{t("live.off")}</Badge> : state && <Badge tone={HEALTH_TONE[state]}>{t(`health.${state}` as Key)}</Badge>}
        </div>
      </header>
      <div class="frame">
        <div id="menu" class={`side ${isMenuOpen ? "open" : ""}`}>
          <nav aria-label={t("nav.label")}>
            <ul>{PAGES.map((name) => <li><a href={`#/${name}`} aria-current={page === name ? "page" : undefined}><span class={`icon icon-${name}`} aria-hidden="true" />{t(`nav.${name}`)}</a></li>)}</ul>
          </nav>
          <section class="own" aria-label={t("pref.label")}>
            <Preferences />
            <button type="button" class="quiet" onClick={() => signOut().then(forget).catch((error) => say(asFailure(error).message, "bad"))}>{t("act.signOut")}</button>
          </section>
        </div>
        <main id="main" tabIndex={-1}><Page /></main>
      </div>
      <QuestionDialog />
      <Notes />
    </>
  );
}

function Preferences() {
  return (
    <div class="preferences">
      <label><span>{t("pref.theme")}</span>
        <select value={theme.value} onChange={(event) => (theme.value = event.currentTarget.value as Theme)}>
          {(["system", "light", "dark"] as const).map((name) => <option value={name}>{t(`theme.${name}`)}</option>)}
        </select>
      </label>
      <label><span>{t("pref.language")}</span>
        <select value={language.value} onChange={(event) => chooseLanguage(event.currentTarget.value)}>
          {Object.entries(languages).map(([code, { name }]) => <option value={code} lang={code}>{name}</option>)}
        </select>
      </label>
    </div>
  );
}

function SignIn({ trouble }: { trouble: string }) {
  const [key, setKey] = useState("");
  const [fault, setFault] = useState(trouble);
  const [isBusy, setBusy] = useState(false);
  const input = useRef<HTMLInputElement>(null);
  useEffect(() => setFault(trouble || (hasEnded.value ? t("signIn.ended") : "")), [trouble]);
  useEffect(() => {
    document.title = `${t("signIn.title")} · DataMgmt Node`;
  });
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
    <main class="sign-in">
      <form class="card form" onSubmit={submit}>
        <p class="brand"><span class="brand-mark" aria-hidden="true" />DataMgmt</p>
        <h1>{t("signIn.title")}</h1>
        <p class="quiet-text">{t("signIn.lead")}</p>
        <Field label={t("signIn.key")} hint={t("signIn.hint")} fault={fault || undefined}>
          {(props) => <input {...props} ref={input} type="password" required autocomplete="current-password" spellcheck={false} value={key} onInput={(event) => setKey(event.currentTarget.value)} />}
        </Field>
        <button class="primary large" disabled={isBusy}>{t("signIn.do")}</button>
        <Preferences />
      </form>
    </main>
  );
}

function App() {
  const [trouble, setTrouble] = useState("");
  useEffect(() => {
    recall().catch((error) => setTrouble(asFailure(error).message));
  }, []);
  if (session.value === undefined) return <p class="waiting" role="status">{t("word.loading")}</p>;
  return session.value ? <Console key={session.value.key_id} /> : <SignIn trouble={trouble} />;
}

addEventListener("beforeunload", (event) => {
  if (unfinished()) event.preventDefault();
});

render(<App />, document.getElementById("app")!);
