import { expect, test } from 'vitest'
import { overlayOptions } from '../../../driver/volume/overlay-options.ts'
import { thrownBy } from '../../support/thrown.ts'

const LAYERS = { lower: '/s/trees/a/root', upper: '/s/volumes/b.d/upper', work: '/s/w' }

test('names the directories in the order in which mountinfo does', () => {
  expect(overlayOptions(LAYERS)).toBe(
    'lowerdir=/s/trees/a/root,upperdir=/s/volumes/b.d/upper,workdir=/s/w',
  )
  expect(overlayOptions(LAYERS, 'volatile')).toMatch(/,workdir=\/s\/w,volatile$/)
})

test.each([',', ':', '\\'])(
  'the attack: a path with %s is refused, it would name other directories',
  (mark) => {
    const lower = `/s${mark}upperdir=/etc`
    expect(thrownBy(() => overlayOptions({ ...LAYERS, lower }))).toBe(
      `INVALID Cannot lay directory "${lower}" over another: its path holds "${mark}", which ends a path there; expected --store-directory without it`,
    )
  },
)

test('what mount(2) would cut is refused: 4095 bytes are the most', () => {
  const fixed = overlayOptions({ ...LAYERS, upper: '' }).length
  const upper = `/${'ä'.repeat((4095 - fixed - 2) / 2)}`
  const longest = overlayOptions({
    ...LAYERS,
    upper: `${upper}${'x'.repeat(4095 - fixed - Buffer.byteLength(upper))}`,
  })
  expect(Buffer.byteLength(longest)).toBe(4095)
  const tooLong = `${upper}${'x'.repeat(4096 - fixed - Buffer.byteLength(upper))}`
  expect(thrownBy(() => overlayOptions({ ...LAYERS, upper: tooLong }))).toMatch(
    /the options of the mount have 4096 bytes; expected at most 4095: a shorter --store-directory$/,
  )
})
