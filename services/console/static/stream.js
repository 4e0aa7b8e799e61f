// The one stream of a browser. As a SharedWorker it serves every tab; without one, the visible tab imports it.
const LONGEST_SILENCE = 15000;

export function follow(tell) {
  let source, retry, watch, delay = 1000, stopped = false;
  function again() {
    source.close();
    clearTimeout(watch);
    if (stopped) return;
    tell({ state: "reconnecting" });
    clearTimeout(retry);
    retry = setTimeout(connect, delay);
    delay = Math.min(delay * 2, 15000);
  }
  function connect() {
    source = new EventSource("/pages/changes");
    source.onmessage = (message) => {
      delay = 1000;
      clearTimeout(watch);
      // A connection that is half dead says nothing; the console does every five seconds.
      watch = setTimeout(again, LONGEST_SILENCE);
      tell({ state: "live", change: JSON.parse(message.data) });
    };
    // EventSource gives up for good after an answer that is not 200: the retry is ours.
    source.onerror = again;
  }
  connect();
  return () => { stopped = true; clearTimeout(retry); clearTimeout(watch); source.close(); };
}

if (typeof SharedWorkerGlobalScope !== "undefined" && self instanceof SharedWorkerGlobalScope) {
  const ports = new Set();
  let stop = null, last = null;
  self.onconnect = ({ ports: [port] }) => {
    ports.add(port);
    port.onmessage = ({ data }) => {
      if (data !== "bye") return;
      ports.delete(port);
      if (!ports.size && stop) { stop(); stop = null; last = null; }
    };
    if (last) port.postMessage(last);
    stop ??= follow((message) => { last = message; for (const one of ports) one.postMessage(message); });
  };
}
