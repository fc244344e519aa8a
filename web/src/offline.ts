/** Keeps all files of the page, so that it works without a network: a service worker. */

declare const self: ServiceWorkerGlobalScope;
/** Written before this by `python -m export.web`. */
declare const LISTED: { version: string; files: string[] };

const name = `petseg-${LISTED.version}`;

self.addEventListener("install", (event) => {
  event.waitUntil(caches.open(name).then((cache) => cache.addAll(LISTED.files)));
});

self.addEventListener("activate", (event) => {
  const clean = async (): Promise<void> => {
    const names = (await caches.keys()).filter((other) => other.startsWith("petseg-") && other !== name);
    await Promise.all(names.map((other) => caches.delete(other)));
    await self.clients.claim();
  };
  event.waitUntil(clean());
});

self.addEventListener("fetch", (event) => {
  if (event.request.method !== "GET") return;
  const answer = async (): Promise<Response> => {
    const cache = await caches.open(name);
    return (await cache.match(event.request, { ignoreSearch: true })) ?? fetch(event.request);
  };
  event.respondWith(answer());
});

export type {};
