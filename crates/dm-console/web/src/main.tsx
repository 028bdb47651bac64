// The console: sign-in, or the pages.
import { render } from "preact";
import { useEffect, useState } from "preact/hooks";
import { may, recall, session, signOut, get } from "./api";
import { loadContacts } from "./contacts";
import { follow, forget, isLive, leave } from "./live";
import { route } from "./route";
import { t, type Key } from "./i18n";
import { watchNode, health } from "./ui/history";
import { asFailure } from "./ui/load";
import { Badge, Foreign, Notes, QuestionDialog, say } from "./ui/parts";
import { Preferences } from "./ui/preferences";
import { HEALTH_TONE, Overview } from "./pages/overview";
import { SharePage, unfinished } from "./pages/share";
import { InboxPage } from "./pages/inbox";
import { SharesPage } from "./pages/shares";
import { ReceiptsPage } from "./pages/receipts";
import { MoneyPage } from "./pages/money";
import { NetworkPage } from "./pages/network";
import { AdminPage } from "./pages/admin";
import { comeBack, SignIn } from "./pages/sign_in";

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
        <p class="brand"><span class="brand-mark" aria-hidden="true" /><span class="brand-word">DataMgmt</span>{node && <span class="brand-node"><Foreign text={node} /></span>}</p>
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
            <Self />
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

/** Who is signed in. */
function Self() {
  const { person, key_id } = session.value!;
  return <p class="self"><span>{t("own.signedIn")}</span> {person ? <strong><Foreign text={person.name} /></strong> : <><strong>{t("signIn.key")}</strong> <span class="mono">{key_id}</span></>}</p>;
}

function App() {
  const [trouble, setTrouble] = useState("");
  useEffect(() => {
    recall().then(() => session.value && comeBack()).catch((error) => setTrouble(asFailure(error).message));
  }, []);
  if (session.value === undefined) return <p class="waiting" role="status">{t("word.loading")}</p>;
  return session.value ? <Console key={session.value.key_id} /> : <SignIn trouble={trouble} />;
}

addEventListener("beforeunload", (event) => {
  if (unfinished()) event.preventDefault();
});

render(<App />, document.getElementById("app")!);
