import { randomBytes } from 'node:crypto'
import { readSmallFile, writeSmallFile } from './small-file.ts'

/** Reads the store's salt, making one when there is none; a damaged one is replaced, which only makes old access records useless. */
export async function createSalt(path: string): Promise<string> {
  const found = await readSmallFile(path, (value) => {
    if (typeof value !== 'string' || !/^[0-9a-f]{64}$/.test(value)) {
      throw new TypeError('not a salt')
    }
    return value
  })
  if (found.state === 'ok') return found.value
  const salt = randomBytes(32).toString('hex')
  await writeSmallFile(path, JSON.stringify(salt))
  return salt
}
