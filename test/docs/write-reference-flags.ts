import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { CHECKOUT } from '../manifests/manifest-objects.ts'
import { referenceFlagsPage } from './reference-flags.ts'

await writeFile(join(CHECKOUT, 'docs/reference-flags.md'), await referenceFlagsPage())
