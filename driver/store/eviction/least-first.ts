/**
 * Yields items from the least on, in the order that sorting would give but for equal ones. Whoever takes only the first few of many pays for
 * those: a heap is made in linear time.
 */
export function* leastFirst<T>(
  items: readonly T[],
  compare: (a: T, b: T) => number,
): Generator<T, void> {
  const heap = [...items]
  /** Lets the item at `from` sink to where both below it are larger. */
  const sink = (from: number) => {
    const item = heap[from]
    if (item === undefined) return
    let at = from
    for (;;) {
      const below = lesserBelow(heap, at, compare)
      const other = heap[below]
      if (other === undefined || compare(item, other) <= 0) break
      heap[at] = other
      at = below
    }
    heap[at] = item
  }
  for (let at = (heap.length >> 1) - 1; at >= 0; at -= 1) sink(at)
  for (;;) {
    const [least] = heap
    const last = heap.pop()
    if (least === undefined || last === undefined) return
    if (heap.length > 0) {
      heap[0] = last
      sink(0)
    }
    yield least
  }
}

function lesserBelow<T>(heap: readonly T[], at: number, compare: (a: T, b: T) => number): number {
  const left = 2 * at + 1
  const a = heap[left]
  const b = heap[left + 1]
  return a !== undefined && b !== undefined && compare(b, a) < 0 ? left + 1 : left
}
