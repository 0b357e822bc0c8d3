// The landscape of a search that can be turned: by dragging, or by the arrow keys.
document.querySelectorAll('.turn').forEach(function (place) {
  var data = JSON.parse(document.getElementById('landscape').textContent);
  var canvas = place.querySelector('canvas'), told = place.querySelector('output');
  var pen = canvas.getContext('2d'), turn = -0.62, tilt = 0.38, zoom = 1, waiting = false;
  var count = data.x.length, order = Array.from({length: count}, function (_, i) { return i; });
  var across = new Float32Array(count), up = new Float32Array(count), depth = new Float32Array(count);
  function project(x, y, z) {  // of 0..999 each
    var a = x / 999 - 0.5, b = y / 999 - 0.5, c = (z / 999 - 0.5) * 0.7;
    var s = Math.sin(turn), t = Math.cos(turn), far = a * s + b * t;
    return [a * t - b * s, c * Math.cos(tilt) + far * Math.sin(tilt),
      far * Math.cos(tilt) - c * Math.sin(tilt)];
  }
  function screen(p) {
    var size = 0.8 * zoom * Math.min(canvas.width * 0.7, canvas.height);
    return [canvas.width / 2 + p[0] * size, canvas.height * 0.52 - p[1] * size];
  }
  function draw() {
    waiting = false;
    var ratio = window.devicePixelRatio || 1, ink = getComputedStyle(canvas).color;
    canvas.width = canvas.clientWidth * ratio;
    canvas.height = canvas.clientHeight * ratio;
    for (var i = 0; i < count; i += 1) {
      var p = project(data.x[i], data.y[i], data.z[i]), s = screen(p);
      across[i] = s[0]; up[i] = s[1]; depth[i] = p[2];
    }
    order.sort(function (i, j) { return depth[j] - depth[i]; });
    pen.globalAlpha = 0.6;
    order.forEach(function (i) {
      pen.fillStyle = data.shades[Math.min(9, Math.floor(data.z[i] / 100))];
      pen.fillRect(across[i] - ratio, up[i] - ratio, 2.2 * ratio, 2.2 * ratio);
    });
    pen.globalAlpha = 1;
    pen.strokeStyle = pen.fillStyle = ink;
    pen.font = 12 * ratio + 'px system-ui,sans-serif';
    var corner = [0, 0, 0];
    [[999, 0, 0], [0, 999, 0], [0, 0, 999]].forEach(function (end, axis) {
      var a = screen(project.apply(null, corner)), b = screen(project.apply(null, end));
      pen.beginPath(); pen.moveTo(a[0], a[1]); pen.lineTo(b[0], b[1]); pen.stroke();
      pen.fillText(data.axes[axis], b[0] + 4 * ratio, b[1] - 4 * ratio);
    });
    var way = data.way.map(function (point) { return screen(project(point.x, point.y, point.z)); });
    pen.strokeStyle = pen.fillStyle = '#d8443a';
    pen.lineWidth = 1.6 * ratio;
    pen.beginPath();
    way.forEach(function (s, i) { if (i) pen.lineTo(s[0], s[1]); else pen.moveTo(s[0], s[1]); });
    pen.stroke();
    way.forEach(function (s) {
      pen.beginPath(); pen.arc(s[0], s[1], 4 * ratio, 0, 7); pen.fill();
    });
    pen.lineWidth = ratio;
    place.ends = way.concat([screen(project(data.best.x, data.best.y, data.best.z))]);
    var star = place.ends[way.length];
    pen.fillStyle = '#e8892f';
    pen.save(); pen.translate(star[0], star[1]); pen.rotate(Math.PI / 4);
    pen.fillRect(-6 * ratio, -6 * ratio, 12 * ratio, 12 * ratio); pen.restore();
  }
  function later() { if (!waiting) { waiting = true; requestAnimationFrame(draw); } }
  function move(right, down) {
    turn += right; tilt = Math.min(1.5, Math.max(-0.2, tilt + down)); later();
  }
  canvas.addEventListener('pointermove', function (event) {
    if (event.buttons) { move(event.movementX / 150, event.movementY / 150); return; }
    var ratio = canvas.width / canvas.clientWidth, texts = data.way.concat([data.best]);
    var near = place.ends.findIndex(function (s) {
      return Math.hypot(s[0] - event.offsetX * ratio, s[1] - event.offsetY * ratio) < 10 * ratio;
    });
    told.textContent = near < 0 ? '' : texts[near].text;
  });
  canvas.addEventListener('pointerdown', function (event) { canvas.setPointerCapture(event.pointerId); });
  canvas.addEventListener('keydown', function (event) {
    var steps = {ArrowLeft: [-0.1, 0], ArrowRight: [0.1, 0], ArrowUp: [0, -0.1], ArrowDown: [0, 0.1]};
    if (event.key === '+' || event.key === '-') {
      zoom *= event.key === '+' ? 1.15 : 1 / 1.15; later();
    } else if (steps[event.key]) {
      move(steps[event.key][0], steps[event.key][1]); event.preventDefault();
    }
  });
  window.addEventListener('resize', later);
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', later);
  draw();
});
