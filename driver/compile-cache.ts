import { globSync } from 'node:fs'
import { flushCompileCache } from 'node:module'
import { join } from 'node:path'
import process from 'node:process'

// Run once when an image is built, with NODE_COMPILE_CACHE set: loads what the driver's threads and helper processes load, so that
// none of them has to bring Node's TypeScript parser into memory (20 to 27 MB). `main.ts --help` does the same for the main thread.

// What the entry of a helper process expects to be told: where its files are, how large one may be, and who started it.
process.argv.splice(2, Number.POSITIVE_INFINITY, '', '', String(process.ppid))
const files = globSync('**/*.ts', { cwd: import.meta.dirname })
// The entries of threads refuse to run here; by then they are compiled.
await Promise.allSettled(
  files
    .filter((file) => !file.endsWith('main.ts') && !import.meta.filename.endsWith(`/${file}`))
    .map((file) => import(join(import.meta.dirname, file))),
)
flushCompileCache()
process.exit()
