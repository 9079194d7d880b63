// Which screen is open: the address says so, and so the browser's own Back works.

interface Place {
  path: string;
  query: URLSearchParams;
}

class Route {
  #base = import.meta.env.BASE_URL;
  #now = $state.raw<Place>(this.#read());

  constructor() {
    addEventListener("popstate", () => (this.#now = this.#read()));
    document.addEventListener("click", (event) => this.#follow(event));
  }

  /** The path below the app's own, without slashes at its ends: "", "coupons", "coupons/1". */
  get path(): string {
    return this.#now.path;
  }

  get parts(): string[] {
    return this.path.split("/");
  }

  get query(): URLSearchParams {
    return this.#now.query;
  }

  /** Open another screen. With `replace`, Back does not come here again. */
  go(path: string, { replace = false }: { replace?: boolean } = {}): void {
    const url = this.href(path);
    if (replace) history.replaceState(null, "", url);
    else history.pushState(null, "", url);
    this.#now = this.#read();
    scrollTo(0, 0);
  }

  /** Go back where one came from; to `path` for who came from elsewhere. */
  back(path: string): void {
    this.go(path, { replace: true });
  }

  /** Change what the query says, and leave the screen. An empty value goes out. */
  ask(changes: Record<string, string | null>): void {
    const query = new URLSearchParams(this.query);
    for (const [name, value] of Object.entries(changes)) {
      if (value) query.set(name, value);
      else query.delete(name);
    }
    history.replaceState(null, "", `${this.href(this.path)}${query.size ? `?${query}` : ""}`);
    this.#now = this.#read();
  }

  href(path: string): string {
    return `${this.#base}${path}`;
  }

  #read(): Place {
    const path = location.pathname.slice(this.#base.length).replace(/^\/+|\/+$/g, "");
    return { path, query: new URLSearchParams(location.search) };
  }

  /** Open our own links here, without asking the server for the page again. */
  #follow(event: MouseEvent): void {
    if (event.defaultPrevented || event.button || event.metaKey || event.ctrlKey || event.shiftKey) return;
    const link = (event.target as Element).closest?.("a");
    if (!link || link.target || link.hasAttribute("download")) return;
    const url = new URL(link.href);
    if (url.origin !== location.origin || !url.pathname.startsWith(this.#base)) return;
    if (url.hash && url.pathname === location.pathname) return;
    event.preventDefault();
    this.go(url.pathname.slice(this.#base.length) + url.search + url.hash);
  }
}

export const route = new Route();
