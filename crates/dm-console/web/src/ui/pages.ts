// A long list that comes in pages, as far as it is looked at.
import { useEffect, useRef, useState } from "preact/hooks";
import { Failure } from "../api";
import { listen } from "../live";
import { asFailure } from "./load";

interface Page<T> {
  items: T[];
  next: string | null;
}

export interface Paged<T> {
  items: T[];
  isWhole: boolean;
  isLoading: boolean;
  failure: Failure | undefined;
  more: () => void;
  reload: () => void;
}

export function usePages<T>(load: (cursor: string | null) => Promise<Page<T>>, deps: unknown[], id: (item: T) => string, topics: string[] = []): Paged<T> {
  const [state, setState] = useState<{ items: T[]; next: string | null; failure?: Failure; isLoading: boolean }>({ items: [], next: null, isLoading: true });
  const [turn, setTurn] = useState(0);
  const generation = useRef(0);
  const busy = useRef(false);
  const fetchPage = (cursor: string | null, keep: boolean) => {
    const mine = generation.current;
    busy.current = true;
    load(cursor).then(
      ({ items, next }) => {
        if (mine !== generation.current) return;
        busy.current = false;
        setState((before) => {
          if (cursor) return { items: [...before.items, ...items], next, isLoading: false };
          if (!keep) return { items, next, isLoading: false };
          // What is new stands before what was loaded; what is known is taken anew.
          const fresh = new Map(items.map((item) => [id(item), item]));
          const old = before.items.filter((item) => !fresh.has(id(item)));
          const wasLonger = before.items.length > items.length;
          return { items: wasLonger ? [...items, ...old] : items, next: wasLonger ? before.next : next, isLoading: false };
        });
      },
      (error) => {
        if (mine !== generation.current) return;
        busy.current = false;
        setState((before) => ({ ...before, failure: asFailure(error), isLoading: false }));
      },
    );
  };
  useEffect(() => {
    generation.current += 1;
    setState({ items: [], next: null, isLoading: true });
    fetchPage(null, false);
  }, deps);
  useEffect(() => {
    if (turn) fetchPage(null, true);
  }, [turn]);
  useEffect(() => {
    let timer = 0;
    const silence = listen(({ type }) => {
      if (!topics.some((topic) => type.startsWith(topic))) return;
      clearTimeout(timer);
      timer = window.setTimeout(() => setTurn((turn) => turn + 1), 250);
    });
    return () => {
      silence();
      clearTimeout(timer);
    };
  }, [topics.join()]);
  return {
    items: state.items,
    isWhole: state.next === null,
    isLoading: state.isLoading,
    failure: state.failure,
    more: () => state.next && !busy.current && fetchPage(state.next, true),
    reload: () => setTurn((turn) => turn + 1),
  };
}
