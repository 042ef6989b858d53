import { expect, test } from 'vitest'
import { createAnswerCache, type ScopedAnswer } from '../../../driver/credentials/answer-cache.ts'

/** A cache whose questions the test answers one by one, and a clock that it sets. */
function cache() {
  const asked: { image: string; answer: (answer: ScopedAnswer<string>) => void }[] = []
  const clock = { nowMs: 0 }
  const answers = createAnswerCache<string>({
    ask: (image) => {
      const { promise, resolve } = Promise.withResolvers<ScopedAnswer<string>>()
      asked.push({ image, answer: resolve })
      return promise
    },
    nowMs: () => clock.nowMs,
  })
  const images = () => asked.map(({ image }) => image)
  /** Asks, and answers when it is asked itself. */
  const get = async (
    registry: string,
    repository: string,
    scope: ScopedAnswer<string>['scope'],
    keepMs = 1_000,
  ) => {
    const before = asked.length
    const got = answers.get(registry, repository)
    asked[before]?.answer({ value: `answer ${before}`, scope, keepMs })
    return got
  }
  return { answers, asked, images, get, clock }
}

test.each([
  ['Image', 'r', 'b', 'answer 1'],
  ['Registry', 'r', 'b', 'answer 0'],
  ['Registry', 's', 'a', 'answer 1'],
  ['Global', 's', 'b', 'answer 0'],
  ['failed', 'r', 'b', 'answer 1'],
] as const)(
  'an answer about r/a with scope %s: %s/%s gets %s',
  async (scope, registry, repository, got) => {
    const { get } = cache()
    await get('r', 'a', scope)
    expect(await get('r', 'a', scope)).toBe('answer 0')
    expect(await get(registry, repository, scope)).toBe(got)
  },
)

test('an answer counts until its time is over', async () => {
  const { get, clock } = cache()
  await get('r', 'a', 'Registry')
  clock.nowMs = 999
  expect(await get('r', 'a', 'Registry')).toBe('answer 0')
  clock.nowMs = 1_000
  expect(await get('r', 'a', 'Registry')).toBe('answer 1')
})

test('who asks for the same at the same time shares an answer', async () => {
  const { answers, asked, images } = cache()
  const all = ['a', 'b', 'a'].map((repository) => answers.get('r', repository))
  expect(images()).toEqual(['r/a'])
  asked[0]?.answer({ value: 'all', scope: 'Registry', keepMs: 1_000 })
  expect(await Promise.all(all)).toEqual(['all', 'all', 'all'])
  expect(images()).toEqual(['r/a'])
})

test('who waited for an answer that is only for another image asks himself', async () => {
  const { answers, asked, images } = cache()
  const a = answers.get('r', 'a')
  const b = answers.get('r', 'b')
  asked[0]?.answer({ value: 'of a', scope: 'Image', keepMs: 1_000 })
  expect(await a).toBe('of a')
  await expect.poll(images).toEqual(['r/a', 'r/b'])
  asked[1]?.answer({ value: 'of b', scope: 'Image', keepMs: 1_000 })
  expect(await b).toBe('of b')
})

test('when answers are by image, images do not wait for each other', async () => {
  const { answers, get, images } = cache()
  await get('r', 'a', 'Image')
  void answers.get('r', 'b')
  void answers.get('r', 'c')
  expect(images()).toEqual(['r/a', 'r/b', 'r/c'])
})

test('who waited for a run that failed does not wait for another one', async () => {
  const { answers, asked, images, get } = cache()
  const all = ['a', 'b'].map((repository) => answers.get('r', repository))
  asked[0]?.answer({ value: 'failed', scope: 'failed', keepMs: 1_000 })
  expect(await Promise.all(all)).toEqual(['failed', 'failed'])
  // It is remembered of the image that was asked about, and of no other one.
  expect(await get('r', 'a', 'Registry')).toBe('failed')
  expect(await get('r', 'b', 'Registry')).toBe('answer 1')
  expect(images()).toEqual(['r/a', 'r/b'])
})

test('what throws is thrown to all who wait, and forgotten', async () => {
  let times = 0
  const answers = createAnswerCache<string>({
    ask: async () => {
      times += 1
      if (times === 1) throw new Error('first')
      return { value: 'second', scope: 'Image', keepMs: 0 }
    },
    nowMs: () => 0,
  })
  const both = [answers.get('r', 'a'), answers.get('r', 'a')]
  for (const one of both) await expect(one).rejects.toThrow('first')
  expect(await answers.get('r', 'a')).toBe('second')
})

test('thousands of images do not fill the memory: those asked for longest ago are asked for again', async () => {
  const { get, images } = cache()
  for (let at = 0; at <= 1_000; at++) await get('r', `image-${at}`, 'Image')
  await get('r', 'image-1000', 'Image')
  expect(images()).toHaveLength(1_001)
  await get('r', 'image-0', 'Image')
  expect(images()).toHaveLength(1_002)
})
