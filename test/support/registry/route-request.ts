/** A request of the registry API. */
export interface RouteRequest {
  readonly method: string
  readonly query: URLSearchParams
  readonly accept: string | undefined
  readonly contentType: string | undefined
  readonly contentRange: string | undefined
  readonly body: () => Promise<Buffer>
  /** Whether the sender may pull from another repository: asked for before a mount. */
  readonly mayPull: (repository: string) => boolean
}
