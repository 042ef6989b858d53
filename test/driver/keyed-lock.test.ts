import { expect, test } from 'vitest'
import { createKeyedLock } from '../../driver/keyed-lock.ts'

test('callers of one key go one at a time, in the order of asking; another key does not wait', async () => {
  const lock = createKeyedLock()
  const events: string[] = []
  const first = await lock.acquire('a')
  const later = ['second', 'third'].map(async (name) => {
    using _ = await lock.acquire('a')
    events.push(`${name} in`)
    await Promise.resolve()
    events.push(`${name} out`)
  })
  using _ = await lock.acquire('b')
  events.push('first out')
  first[Symbol.dispose]()
  await Promise.all(later)
  expect(events).toEqual(['first out', 'second in', 'second out', 'third in', 'third out'])
})

test('whoever gives up waiting neither takes the key nor lets those behind overtake the holder', async () => {
  const lock = createKeyedLock()
  const holder = await lock.acquire('a')
  const controller = new AbortController()
  const second = lock.acquire('a', controller.signal)
  let thirdIn = false
  const third = lock.acquire('a').then((held) => {
    thirdIn = true
    return held
  })
  controller.abort(new Error('gave up'))
  await expect(second).rejects.toThrow('gave up')
  expect(thirdIn).toBe(false)
  holder[Symbol.dispose]()
  ;(await third)[Symbol.dispose]()
  expect(thirdIn).toBe(true)
})

test('a key whose holder is done can be taken again', async () => {
  const lock = createKeyedLock()
  for (let round = 0; round < 3; round += 1) (await lock.acquire('a'))[Symbol.dispose]()
})
