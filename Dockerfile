# Two ways to the same image: one static binary, the CA roots within it, on an empty file system.
#
#   docker build .                        compiles everything; needs the internet and BuildKit, Docker's default
#   .ci/image TAG                         compiles outside and packs the result; pulls nothing, any builder will do
#
# Stage `prebuilt` stands first because the legacy builder runs every stage before the target.
# There is no USER and no WORKDIR: GitHub runs container actions as root and sets the working directory itself.

FROM scratch AS prebuilt
COPY target/x86_64-unknown-linux-gnu/release/preview-action /preview-action
ENTRYPOINT ["/preview-action"]

FROM rust:1.90.0-slim-bookworm AS build
COPY . /src
# `--target` keeps the static flag away from procedural macros, which can't be built with it.
RUN target="$(rustc -vV | sed -n 's/^host: //p')" \
 && RUSTFLAGS="-C target-feature=+crt-static -C link-arg=-Wl,-z,pack-relative-relocs" cargo build --release --locked --bin preview-action \
      --manifest-path /src/Cargo.toml --target-dir /build --target "$target" \
 && install -m 755 "/build/$target/release/preview-action" /preview-action \
 && /preview-action --help > /dev/null

FROM scratch
COPY --from=build /preview-action /preview-action
ENTRYPOINT ["/preview-action"]
