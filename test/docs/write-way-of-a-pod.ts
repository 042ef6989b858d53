import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { CHECKOUT } from '../manifests/manifest-objects.ts'
import { sequenceSvg } from './sequence-svg.ts'
import { WAY_OF_A_POD } from './way-of-a-pod.ts'

const text = await readFile(join(CHECKOUT, WAY_OF_A_POD.text), 'utf8')
await writeFile(join(CHECKOUT, WAY_OF_A_POD.drawing), sequenceSvg(text, WAY_OF_A_POD.title))
