// Starts WORKERS processes (1 by default) that share PORT, and stops them on SIGTERM.
import cluster from 'node:cluster';
import { start } from './service.js';

const workers = Number(process.env.WORKERS ?? 1);
const announce = () => console.log(`listening on port ${process.env.PORT}, ${workers} worker(s)`);

if (workers > 1 && cluster.isPrimary) {
	let starting = workers;
	cluster.on('listening', () => --starting === 0 && announce());
	cluster.on('exit', (_, code) => code && process.exit(code));
	for (let i = 0; i < workers; i++) cluster.fork();
	process.on('SIGTERM', () => Object.values(cluster.workers).forEach((worker) => worker.kill('SIGTERM')));
} else {
	const stop = await start();
	if (cluster.isPrimary) announce();
	process.once('SIGTERM', async () => {
		await stop();
		process.exit(0);
	});
}
