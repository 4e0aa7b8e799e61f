// Evaluates rules with the official JavaScript evaluator's own engine, without a provider around it.
// stdin: a JSON line per case, {"rule": ..., "data": {...}}; stdout: a JSON line per case, {"value": ...} or {"thrown": "..."}.
const { LogicEngine } = require('json-logic-engine');
const { FlagdCore, MemoryStorage } = require('@openfeature/flagd-core');
const quiet = { error() {}, warn() {}, info() {}, debug() {} };
const said = (value) => (typeof value === 'number' && !Number.isFinite(value) ? { number: String(value) } : { value: value ?? null });

function rule({ rule, data }) {
  return said(new LogicEngine().build(rule)(data));
}

function flag({ flags, key, context }) {
  const core = new FlagdCore(new MemoryStorage(quiet), quiet);
  core.setConfigurations(JSON.stringify({ flags }));
  const found = core.getFlag(key).evaluate(context, quiet);
  return { variant: found.variant ?? null, error: found.errorCode ?? null };
}

const lines = require('fs').readFileSync(0, 'utf8').split('\n').filter(Boolean).map((line) => JSON.parse(line));
const out = lines.map((task) => {
  try {
    return JSON.stringify('flags' in task ? flag(task) : rule(task));
  } catch (error) {
    return JSON.stringify({ thrown: String(error) });
  }
});
process.stdout.write(out.join('\n') + '\n');
