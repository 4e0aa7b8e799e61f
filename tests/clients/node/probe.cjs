// Evaluates flags with one of the real JavaScript providers and prints what an application sees, as JSON.
// node probe.cjs PROVIDER '{"port": 1, "selector": "", "asks": [["boolean", "key", default, context], ...], "follow": null}'
const [provider, text] = process.argv.slice(2);
const task = JSON.parse(text);
// Browsers have it; Node only lately, and behind a flag.
globalThis.EventSource ??= require('eventsource').EventSource;
const methods = { boolean: 'getBooleanDetails', string: 'getStringDetails', number: 'getNumberDetails', object: 'getObjectDetails' };
const seen = (details) => ({
  value: details.value, variant: details.variant || '', reason: details.reason, errorCode: details.errorCode,
  metadata: details.flagMetadata,
});

async function server(make) {
  const { OpenFeature, ProviderEvents } = require('@openfeature/server-sdk');
  await OpenFeature.setProviderAndWait(make());
  const client = OpenFeature.getClient();
  const answers = [];
  for (const [kind, key, fallback, context] of task.asks) {
    answers.push(seen(await client[methods[kind]](key, fallback, context)));
  }
  console.log(JSON.stringify(answers));
  if (task.follow) {
    await new Promise((resolve) => client.addHandler(ProviderEvents.ConfigurationChanged, resolve));
    console.log(JSON.stringify(seen(await client.getBooleanDetails(task.follow, false, {}))));
  }
  await OpenFeature.close();
}

async function web() {
  const { OpenFeature, ProviderEvents } = require('@openfeature/web-sdk');
  const { OFREPWebProvider } = require('@openfeature/ofrep-web-provider');
  const client = OpenFeature.getClient();
  const answers = [];
  await OpenFeature.setContext(task.asks.length ? task.asks[0][3] : {});
  const made = new OFREPWebProvider({ baseUrl: `http://127.0.0.1:${task.port}`, cacheMode: 'disabled' });
  await OpenFeature.setProviderAndWait(made);
  for (const [kind, key, fallback, context] of task.asks) {
    await OpenFeature.setContext(context);
    answers.push(seen(client[methods[kind]](key, fallback)));
  }
  console.log(JSON.stringify(answers));
  if (task.follow) {
    await new Promise((resolve) => client.addHandler(ProviderEvents.ConfigurationChanged, resolve));
    console.log(JSON.stringify(seen(client.getBooleanDetails(task.follow, false))));
  }
  await OpenFeature.close();
}

const runs = {
  'flagd-in-process': () => server(() => {
    const { FlagdProvider } = require('@openfeature/flagd-provider');
    return new FlagdProvider({ resolverType: 'in-process', host: '127.0.0.1', port: task.port, selector: task.selector || undefined });
  }),
  ofrep: () => server(() => {
    const { OFREPProvider } = require('@openfeature/ofrep-provider');
    return new OFREPProvider({ baseUrl: `http://127.0.0.1:${task.port}` });
  }),
  'ofrep-web': web,
};
runs[provider]().then(() => process.stdout.write('', () => process.exit(0)), (error) => { console.error(error); process.exit(1); });
