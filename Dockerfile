# One image for the webhook, the driver and the command line:
#
#   docker build -t ghcr.io/oras-csi/oras-csi:0.1.0 .
#   docker run --rm -i ghcr.io/oras-csi/oras-csi:0.1.0 cli/main.ts preview -f - < deployment.yaml
#
# Without a network: NPM_IMAGE names an image with the same Node and a filled npm cache, NODE_IMAGE one that is there already.
ARG NODE_IMAGE=node:26-bookworm-slim
ARG NPM_IMAGE=${NODE_IMAGE}

FROM ${NPM_IMAGE} AS dependencies
WORKDIR /app
COPY package.json package-lock.json ./
RUN npm ci --omit=dev --ignore-scripts --no-audit --no-fund
# Nothing of this is ever run: Node does not run TypeScript below node_modules. Licences stay, whatever their names end in.
RUN find node_modules -type f ! -iname 'licen[cs]e*' \
      \( -name '*.ts' -o -name '*.mts' -o -name '*.cts' -o -name '*.map' -o -name '*.md' \) -delete \
    && find node_modules -type d \( -name test -o -name tests -o -name benchmark -o -name benchmarks \) -prune -exec rm -r {} +

FROM ${NODE_IMAGE}
WORKDIR /app
# Memory of the driver, measured: two heaps of the C library for all threads, for which it else makes up to eight a core (mallopt(3)), 20 MB less;
# garbage is looked for after 8 MiB in each of a dozen heaps, not after 16 to 32, another 15 MB less.
ENV NODE_ENV=production MALLOC_ARENA_MAX=2 NODE_OPTIONS=--max-semi-space-size=8
COPY --from=dependencies /app/node_modules node_modules
COPY package.json LICENSE ./
COPY common common
COPY webhook webhook
COPY driver driver
COPY cli cli
# Compiled code for a quick start, also where the root file system is read-only. Node keeps it apart for each user id:
# the driver is root, the others are not.
ENV NODE_COMPILE_CACHE=/var/cache/node
RUN mkdir -m 1777 /var/cache/node && node driver/main.ts --help > /dev/null && node driver/compile-cache.ts
USER 65532:65532
RUN node webhook/main.ts --help > /dev/null && node cli/main.ts --help > /dev/null
ENTRYPOINT ["node"]
CMD ["cli/main.ts", "--help"]
