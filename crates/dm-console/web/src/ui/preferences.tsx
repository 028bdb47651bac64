// How the person wants the page to be.
import { chooseLanguage, language, languages, t } from "../i18n";
import { theme, type Theme } from "../theme";

export function Preferences() {
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
