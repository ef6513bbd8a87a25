#!/bin/sh
# Makes tuning/report/templates/plotly.js.gz anew: of plotly.js what the report and the landscape draw, a third of the whole.
# Needs Node.js with npm, and the network. The argument is the version, by default the one that is there.
set -eu
to="$(cd "$(dirname "$0")/.." && pwd)/tuning/report/templates/plotly.js.gz"
version="${1:-$(gzip -dc "$to" | sed -n 's/^ \* plotly.js v\([0-9.]*\).*/\1/p;3q')}"
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
cd "$work"
npm install --silent --no-audit --no-fund --ignore-scripts "plotly.js@$version" \
    esbuild@0.28.2 esbuild-plugin-environment@0.5 esbuild-plugin-glsl@1 esbuild-plugin-inline-css@0.0.1 stream-browserify@3
cat > bundle.js <<'END'
// The strict form of parallel coordinates needs no code made at run time, which the policy of the page forbids.
const Plotly = require("plotly.js/lib/core");
Plotly.register([
  require("plotly.js/lib/bar"), require("plotly.js/lib/contour"), require("plotly.js/src/traces/parcoords/strict"),
]);
module.exports = Plotly;
END
cat > build.js <<'END'
const { environmentPlugin } = require("esbuild-plugin-environment");
const { glsl } = require("esbuild-plugin-glsl");
const css = require("esbuild-plugin-inline-css");
const licence = require("fs").readFileSync("node_modules/plotly.js/LICENSE", "utf8").replaceAll("*/", "");
const version = require("plotly.js/package.json").version;
require("esbuild").build({
  entryPoints: ["bundle.js"], outfile: "plotly.js", format: "iife", globalName: "Plotly", bundle: true, minify: true,
  charset: "ascii", legalComments: "eof", target: "es2018", plugins: [css(), glsl({ minify: true }), environmentPlugin({ NODE_DEBUG: false })],
  alias: { regl: "@plotly/regl", stream: "stream-browserify" }, define: { global: "window", "define.amd": "false" },
  banner: { js: `/*!\n * plotly.js v${version} (scatter, bar, contour, parcoords)\n *\n${licence}*/` },
});
END
node build.js
gzip -9 -n -c plotly.js > "$to"
ls -l "$to"
