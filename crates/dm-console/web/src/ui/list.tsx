// A list of any length, of which only what is seen is in the page.
import type { ComponentChildren } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import type { Paged } from "./pages";

const BEYOND = 8;

export function VirtualList<T>({ label, pages, height, id, row }: { label: string; pages: Paged<T>; height: number; id: (item: T) => string; row: (item: T) => ComponentChildren }) {
  const box = useRef<HTMLDivElement>(null);
  const [view, setView] = useState({ top: 0, size: 600 });
  const { items, isWhole } = pages;
  useEffect(() => {
    const element = box.current!;
    const look = () => setView({ top: element.scrollTop, size: element.clientHeight });
    const watch = new ResizeObserver(look);
    watch.observe(element);
    element.addEventListener("scroll", look, { passive: true });
    return () => {
      watch.disconnect();
      element.removeEventListener("scroll", look);
    };
  }, []);
  const first = Math.max(0, Math.floor(view.top / height) - BEYOND);
  const last = Math.min(items.length, Math.ceil((view.top + view.size) / height) + BEYOND);
  useEffect(() => {
    if (!isWhole && last > items.length - 2 * BEYOND) pages.more();
  }, [last, items.length, isWhole]);
  return (
    <div class="virtual" ref={box} tabIndex={0} role="region" aria-label={label}>
      <ul style={{ height: `${items.length * height}px` }}>
        {items.slice(first, last).map((item, index) => (
          <li key={id(item)} aria-setsize={isWhole ? items.length : -1} aria-posinset={first + index + 1}
            style={{ height: `${height}px`, transform: `translateY(${(first + index) * height}px)` }}>
            {row(item)}
          </li>
        ))}
      </ul>
    </div>
  );
}
