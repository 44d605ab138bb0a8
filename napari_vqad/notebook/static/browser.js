// Says whether the browser has WebGL 2, and styles the explorer.
export default {
  render({ model, el }) {
    el.style.display = "none";
    const canvas = document.createElement("canvas");
    model.set("webgl", canvas.getContext("webgl2") ? "yes" : "no");
    model.save_changes();
  },
};
