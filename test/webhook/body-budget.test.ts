import { expect, test } from 'vitest'
import { createBodyBudget } from '../../webhook/body-budget.ts'

/** A budget of 100 bytes, with the names of the bodies that were refused. */
function subject() {
  const refused: string[] = []
  const budget = createBodyBudget(100)
  const enter = (address: string, name: string) => budget.enter(address, () => refused.push(name))
  return { refused, enter }
}

test('holds what there is room for', () => {
  const { refused, enter } = subject()
  expect([enter('a', 'a1').take(75), enter('b', 'b1').take(25)]).toStrictEqual([true, true])
  expect(refused).toStrictEqual([])
})

test('the attack: bodies that stall, the oldest of the address with the most gives way', () => {
  const { refused, enter } = subject()
  enter('api', 'api1').take(20)
  enter('pod', 'pod1').take(30)
  enter('pod', 'pod2').take(40)
  expect(enter('api', 'api2').take(20)).toBe(true)
  expect(refused).toStrictEqual(['pod1'])
})

test('the attack: bodies that stall from the address of the API server (SNAT), the oldest gives way', () => {
  const { refused, enter } = subject()
  enter('one', 'stalled1').take(35)
  enter('one', 'stalled2').take(40)
  expect(enter('one', 'review').take(30)).toBe(true)
  expect(refused).toStrictEqual(['stalled1'])
})

test('the attack: whole bodies that wait for their turn leave a quarter to other addresses', () => {
  const { refused, enter } = subject()
  const whole = ['pod1', 'pod2'].map((name) => {
    const share = enter('pod', name)
    share.take(37)
    share.complete()
    return share
  })
  expect(enter('pod', 'pod3').take(20)).toBe(false)
  expect(enter('api', 'api1').take(25)).toBe(true)
  expect(refused).toStrictEqual(['pod3'])
  for (const share of whole) share.release()
  expect(enter('pod', 'pod4').take(75)).toBe(true)
})

test('a body that is refused or released holds nothing, however often it is told so', () => {
  const { refused, enter } = subject()
  const share = enter('a', 'a1')
  expect(share.take(101)).toBe(false)
  share.release()
  share.release()
  expect(refused).toStrictEqual(['a1'])
  expect([enter('a', 'a2').take(75), enter('b', 'b1').take(25)]).toStrictEqual([true, true])
  expect(refused).toStrictEqual(['a1'])
})

test('a body that is small is never refused for others', () => {
  const { refused, enter } = subject()
  enter('a', 'small')
  enter('a', 'a1').take(75)
  enter('a', 'a2').take(10)
  expect(refused).toStrictEqual(['a1'])
})
