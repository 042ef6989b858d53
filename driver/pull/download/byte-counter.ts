/** A number of bytes in memory that threads share. Crosses to a thread as it is. */
export type ByteCounter = SharedArrayBuffer

export function createByteCounter(): ByteCounter {
  return new SharedArrayBuffer(BigInt64Array.BYTES_PER_ELEMENT)
}

export function setBytes(counter: ByteCounter, bytes: number): void {
  Atomics.store(new BigInt64Array(counter), 0, BigInt(bytes))
}

export function readBytes(counter: ByteCounter): number {
  return Number(Atomics.load(new BigInt64Array(counter), 0))
}
