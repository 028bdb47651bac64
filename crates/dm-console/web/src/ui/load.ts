// What a page shows of the node: loaded, and loaded again when something happens that concerns it.
import { useEffect, useRef, useState } from "preact/hooks";
import { Failure } from "../api";
import { listen } from "../live";

export interface Loaded<T> {
  value: T | undefined;
  failure: Failure | undefined;
  reload: () => void;
}

const SETTLE_MS = 250;

export function useLoad<T>(load: (signal: AbortSignal) => Promise<T>, deps: unknown[], topics: string[] = [], every = 0): Loaded<T> {
  const [state, setState] = useState<{ value?: T; failure?: Failure }>({});
  const [turn, setTurn] = useState(0);
  const key = useRef("");
  useEffect(() => {
    const abort = new AbortController();
    const now = JSON.stringify(deps);
    if (key.current !== now) setState({});
    key.current = now;
    load(abort.signal).then(
      (value) => abort.signal.aborted || setState({ value }),
      (error) => abort.signal.aborted || setState((before) => ({ ...before, failure: asFailure(error) })),
    );
    return () => abort.abort();
  }, [...deps, turn]);
  useEffect(() => {
    let timer = 0;
    const again = () => {
      clearTimeout(timer);
      timer = window.setTimeout(() => setTurn((turn) => turn + 1), SETTLE_MS);
    };
    const silence = listen(({ type }) => topics.some((topic) => type.startsWith(topic)) && again());
    const clock = every ? window.setInterval(() => document.hidden || setTurn((turn) => turn + 1), every) : 0;
    return () => {
      silence();
      clearTimeout(timer);
      clearInterval(clock);
    };
  }, [topics.join(), every]);
  return { value: state.value, failure: state.failure, reload: () => setTurn((turn) => turn + 1) };
}

export function asFailure(error: unknown): Failure {
  return error instanceof Failure ? error : new Failure(0, String(error));
}
