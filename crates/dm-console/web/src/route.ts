// Where the page is: `#/shares/HASH?name=x`.
import { signal } from "@preact/signals";

export interface Route {
  page: string;
  rest: string[];
  query: URLSearchParams;
}

function read(): Route {
  const [path = "", query = ""] = location.hash.replace(/^#\/?/, "").split("?");
  const [page = "", ...rest] = path.split("/").map((part) => {
    try {
      return decodeURIComponent(part);
    } catch {
      return part;
    }
  });
  return { page: page || "overview", rest, query: new URLSearchParams(query) };
}

export const route = signal(read());

addEventListener("hashchange", () => {
  route.value = read();
});

export function go(...parts: string[]) {
  location.hash = `/${parts.map(encodeURIComponent).join("/")}`;
}
