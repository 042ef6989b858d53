/** The diagram of docs/README.md: what it is made from, and what it is called. */
export const WAY_OF_A_POD = {
  text: 'docs/way-of-a-pod.mmd',
  drawing: 'docs/way-of-a-pod.svg',
  title: 'The way of a pod: from kubectl apply to files in the container',
} as const
