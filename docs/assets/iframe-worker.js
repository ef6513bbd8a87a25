/* Search in pages that are opened as files: browsers start no Worker there, so its script runs in a hidden frame instead.
   Material's search asks for `IFrameWorker` to find its files, and awaits `importScripts`. */
if (location.protocol === "file:") {
  window.Worker = window.IFrameWorker = class extends EventTarget {
    constructor(url) {
      super()
      const frame = document.createElement("iframe")
      frame.hidden = true
      frame.srcdoc = `<script>parent.IFrameWorker.prepare(window)</script><script src="${new URL(url, location.href)}"></script>`
      this.window = new Promise((resolve) => frame.addEventListener("load", () => resolve(frame.contentWindow)))
      IFrameWorker.prepare = (inner) => {
        inner.postMessage = (message) => this.dispatchEvent(new MessageEvent("message", { data: message }))
        inner.importScripts = async (...addresses) => {
          for (const address of addresses) {
            await new Promise((resolve, reject) => {
              const script = inner.document.createElement("script")
              Object.assign(script, { src: address, onload: resolve, onerror: reject })
              inner.document.head.append(script)
            })
          }
        }
      }
      document.body.append(frame)
    }

    async postMessage(message) {
      const inner = await this.window
      inner.dispatchEvent(new inner.MessageEvent("message", { data: message }))
    }
  }
}
