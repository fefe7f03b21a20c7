// Rates and quantiles out of two looks at what frontends have counted since their start. Pure: no page, no clock.

/** What all frontends have counted, by application and by model version. */
export function added(frontends) {
  const applications = new Map();
  const models = new Map();
  let processes = 0;
  let cacheBytes = 0;
  for (const { stats: frontend } of frontends) {
    processes += count(frontend.processes);
    cacheBytes += count(frontend.cache_bytes);
    for (const each of frontend.applications ?? []) {
      const sum = of(applications, each.application, () => ({
        answers: 0, predictions: 0, failures: 0, defaults: new Map(), errors: new Map(), latency: new Map(), objectiveUs: 0,
      }));
      sum.predictions += count(each.predictions);
      sum.failures += count(each.failures);
      sum.answers += count(each.predictions) + count(each.failures);
      sum.objectiveUs = count(each.objective_us);
      for (const [reason, number] of Object.entries(each.defaults ?? {})) {
        add(sum.defaults, reason, count(number));
        sum.answers += count(number);
      }
      for (const [reason, number] of Object.entries(each.errors ?? {})) add(sum.errors, reason, count(number));
      addBuckets(sum.latency, each.latency);
    }
    for (const each of frontend.models ?? []) {
      const sum = of(models, key(each.model, each.version), () => ({
        predictions: 0, queue: 0, up: 0, down: 0, hits: 0, lookups: 0, errors: new Map(),
        batches: new Map(), rows: 0, batchCount: 0,
      }));
      sum.predictions += count(each.predictions);
      sum.queue += count(each.queue_rows);
      sum.up = Math.max(sum.up, count(each.replicas_up)); // all frontends see the same replicas
      sum.down = Math.max(sum.down, count(each.replicas_down));
      sum.hits += count(each.cache_hits);
      sum.lookups += count(each.cache_hits) + count(each.cache_joins) + count(each.cache_misses);
      for (const [kind, number] of Object.entries(each.errors ?? {})) add(sum.errors, kind, count(number));
      addBuckets(sum.batches, each.batch_latency);
      sum.rows += count(each.batch_rows?.sum);
      for (const bucket of each.batch_rows?.buckets ?? []) sum.batchCount += count(bucket.count);
    }
  }
  return { applications, models, processes, cacheBytes };
}

/** Names a version of a model. */
export function key(model, version) {
  return `${model}:${version}`;
}

/** What was counted between two looks; what has become less began anew in between. */
export function grown(after, before) {
  return before === undefined || after < before ? 0 : after - before;
}

/** By how much each of several counts has grown, those that have not left out. */
export function grownEach(after, before) {
  const found = [];
  for (const [name, number] of after) {
    const more = grown(number, before?.get(name) ?? 0);
    if (more > 0) found.push([name, more]);
  }
  return found.sort((a, b) => b[1] - a[1]);
}

/** The quantile q of what came between two looks at a distribution; null if nothing did. */
export function quantile(after, before, q) {
  const buckets = [];
  let total = 0;
  for (const [name, bucket] of after) {
    const more = grown(bucket.count, before?.get(name)?.count ?? 0);
    if (more > 0) {
      buckets.push({ ...bucket, count: more });
      total += more;
    }
  }
  if (total === 0) return null;
  buckets.sort((a, b) => a.atMost - b.atMost);
  let wanted = q * total;
  for (const bucket of buckets) {
    if (wanted <= bucket.count) {
      if (!Number.isFinite(bucket.atMost)) return bucket.above;
      return bucket.above + (bucket.atMost - bucket.above) * (wanted / bucket.count);
    }
    wanted -= bucket.count;
  }
  return buckets.at(-1).above;
}

/** Those frontends of a look that another look has too, with as many processes: only they can be compared. */
export function common(look, other) {
  const processes = new Map(other.map((each) => [each.address, each.stats.processes]));
  return look.filter((each) => processes.get(each.address) === each.stats.processes);
}

/** What a policy makes of each linked model: its share or mean reward from 0 to 1, and that in words. */
export function weighed(links, state) {
  const linked = links.filter((link) => !link.shadow);
  const given = linked.map((link) => link.weight || 1);
  const known = (model, what) => state?.[`${model}/${what}`];
  if (linked.some((link) => known(link.model, "log_weight") !== undefined)) {
    const logs = linked.map((link) => known(link.model, "log_weight") ?? 0);
    const most = Math.max(...logs);
    return shared(linked, logs.map((log, at) => given[at] * Math.exp(log - most)));
  }
  if (linked.some((link) => known(link.model, "plays") !== undefined)) {
    return linked.map((link) => {
      const plays = known(link.model, "plays") ?? 0;
      const mean = plays > 0 ? (known(link.model, "reward") ?? 0) / plays : 0;
      return { model: link.model, part: mean, words: `reward ${mean.toFixed(2)} of ${Math.round(plays)}` };
    });
  }
  return shared(linked, given);
}

function shared(linked, weights) {
  const total = weights.reduce((sum, each) => sum + each, 0);
  return linked.map((link, at) => {
    const part = weights[at] / total;
    return { model: link.model, part, words: `${(100 * part).toFixed(part < 0.1 ? 1 : 0)} %` };
  });
}

function count(value) {
  const number = Number(value ?? 0); // 64-bit integers are strings in JSON
  return Number.isFinite(number) ? number : 0;
}

function of(map, name, make) {
  if (!map.has(name)) map.set(name, make());
  return map.get(name);
}

function add(map, name, number) {
  map.set(name, (map.get(name) ?? 0) + number);
}

function addBuckets(map, distribution) {
  for (const bucket of distribution?.buckets ?? []) {
    const atMost = bucket.at_most === "Infinity" ? Infinity : Number(bucket.at_most ?? 0);
    const above = count(bucket.above);
    const found = of(map, `${above}-${atMost}`, () => ({ above, atMost, count: 0 }));
    found.count += count(bucket.count);
  }
}
