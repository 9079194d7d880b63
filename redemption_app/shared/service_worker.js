// Keeps one app whole in the cache, so that it opens with no network and with no server.
// The build puts in the version and the files. Caches belong to the origin, which three apps
// share: each names its own by its scope.

const version = "VERSION";
const files = ["FILES"];

const { scope } = self.registration;
const cacheName = `${scope} ${version}`;
const shell = new URL("index.html", scope).href;

self.addEventListener("install", (event) => {
  event.waitUntil(keepAll());
});

self.addEventListener("activate", (event) => {
  event.waitUntil(dropOlder().then(() => self.clients.claim()));
});

self.addEventListener("message", (event) => {
  // Somebody has read that there is a new version, and wants it now.
  if (event.data === "take over") self.skipWaiting();
});

self.addEventListener("fetch", (event) => {
  const { request } = event;
  if (request.method !== "GET" || !request.url.startsWith(scope)) return;
  event.respondWith(request.mode === "navigate" ? answer(shell, request) : answer(request.url, request));
});

async function keepAll() {
  const cache = await caches.open(cacheName);
  const urls = files.map((file) => new URL(file, scope).href);
  await cache.addAll(urls.map((url) => new Request(url, { cache: "reload" })));
}

async function dropOlder() {
  for (const name of await caches.keys()) {
    if (name.startsWith(`${scope} `) && name !== cacheName) await caches.delete(name);
  }
}

async function answer(url, request) {
  const cache = await caches.open(cacheName);
  return (await cache.match(url, { ignoreSearch: true })) ?? fetch(request);
}
