import process from 'node:process'
import { updateMetricsPage } from './metrics-page.ts'

// Brings the tables of docs/metrics.md up to date: `node test/docs/metrics.ts --write`, as root.
if (process.argv[2] === '--write') await updateMetricsPage()
else {
  process.stderr.write('Usage: node test/docs/metrics.ts --write\n')
  process.exitCode = 2
}
