// What a featul developer would use instead: a job queue for Node.js on PostgreSQL, and
// undici.  Fills the queue from the table bench_body, then drains it to one endpoint.
//
//   node peer.mjs graphile-worker|pg-boss HOST PORT DATABASE SINK_PORT CA_FILE CONNECTIONS
//
// prints "REQUESTS SECONDS FAILURES".  Tuned for throughput: jobs are fetched and completed
// in batches of 500, the connections are always busy, and nothing keeps order per post.
import { createHmac, randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { setTimeout as pause } from "node:timers/promises";
import pg from "pg";
import { Pool } from "undici";

const [, , peer, host, port, database, sinkPort, caFile, connections] = process.argv;
const BATCH = 500;
const concurrency = 3 * Number(connections);
const secret = randomBytes(32);
const db = new pg.Pool({ host, port: Number(port), database, max: 4 });
const sink = new Pool(`https://127.0.0.1:${sinkPort}`, {
	connections: Number(connections),
	pipelining: 1,
	connect: { ca: readFileSync(caFile), servername: "h1.sink.test" },
});
let failures = 0;

// One delivery, signed as Standard Webhooks wants it.
async function deliver({ id, body }) {
	const timestamp = String(Math.floor(Date.now() / 1000));
	const signature = createHmac("sha256", secret).update(`${id}.${timestamp}.${body}`).digest("base64");
	const response = await sink.request({
		method: "POST",
		path: "/hook",
		headers: {
			"content-type": "application/json",
			"webhook-id": id,
			"webhook-timestamp": timestamp,
			"webhook-signature": `v1,${signature}`,
		},
		body,
	});
	await response.body.dump();
	if (response.statusCode >= 300) {
		failures++;
		throw new Error(`status ${response.statusCode}`);
	}
}

// graphile-worker: returns how many jobs there are, and how to drain them.
async function graphileWorker() {
	const { makeWorkerUtils, run } = await import("graphile-worker");
	const utils = await makeWorkerUtils({ pgPool: db });
	await utils.migrate();
	await db.query(`SELECT graphile_worker.add_job('deliver',
		json_build_object('id', 'msg_' || gen_random_uuid(), 'body', body::text)) FROM bench_body`);
	await utils.release();
	return async (total) => {
		let done = 0;
		let finish;
		const finished = new Promise((resolve) => (finish = resolve));
		const runner = await run({
			pgPool: db,
			noHandleSignals: true,
			logger: new (await import("graphile-worker")).Logger(() => () => {}),
			taskList: {
				deliver: async (job) => {
					await deliver(job);
					if (++done === total) finish();
				},
			},
			preset: {
				worker: {
					concurrentJobs: concurrency,
					localQueue: { size: BATCH },
					completeJobBatchDelay: 5,
					failJobBatchDelay: 5,
				},
			},
		});
		await finished;
		await runner.stop(); // waits until all are completed in the database
	};
}

// pg-boss: likewise; two batches overlap, so that fetching never stops the sending.
async function pgBoss() {
	const { default: PgBoss } = await import("pg-boss");
	const boss = new PgBoss({
		db: { executeSql: (text, values) => db.query(text, values) },
		supervise: false,
		schedule: false,
	});
	boss.on("error", console.error);
	await boss.start();
	await boss.createQueue("deliver");
	await db.query(`INSERT INTO pgboss.job (name, data) SELECT 'deliver',
		json_build_object('id', 'msg_' || gen_random_uuid(), 'body', body::text) FROM bench_body`);
	const drainLoop = async () => {
		for (;;) {
			const jobs = await boss.fetch("deliver", { batchSize: BATCH });
			if (jobs.length === 0) return;
			await Promise.all(jobs.map((job) => deliver(job.data)));
			await boss.complete("deliver", jobs.map((job) => job.id));
		}
	};
	return async () => {
		await Promise.all([drainLoop(), drainLoop()]);
		await boss.stop({ graceful: false });
	};
}

const drain = await { "graphile-worker": graphileWorker, "pg-boss": pgBoss }[peer]();
const total = (await db.query("SELECT count(*)::int AS n FROM bench_body")).rows[0].n;
await db.query("ANALYZE");
await pause(200);
const start = process.hrtime.bigint();
await drain(total);
console.log(total, Number(process.hrtime.bigint() - start) / 1e9, failures);
process.exit(failures ? 1 : 0);
