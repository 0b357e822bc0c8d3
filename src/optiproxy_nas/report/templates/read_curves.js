// Beside a picture of curves: their values at a query, chosen by the slider or by pointing.
document.querySelectorAll('figure.curves').forEach(function (figure) {
  var data = JSON.parse(document.getElementById(figure.dataset.curves).textContent);
  var frame = figure.querySelector('.frame'), cursor = figure.querySelector('.cursor');
  var slider = figure.querySelector('input'), rows = figure.querySelectorAll('tbody tr');
  var number = figure.querySelector('output'), box = data.box, from = data.range[0], to = data.range[1];
  function show(at) {
    at = Math.min(Math.max(Math.round(at), 1), +slider.max);
    slider.value = number.textContent = at;
    cursor.hidden = false;
    cursor.style.left = 100 * (box[0] + (at - from) / (to - from) * (box[1] - box[0])) + '%';
    data.lines.forEach(function (line, row) {
      var last = -1;
      while (last + 1 < line.x.length && line.x[last + 1] <= at) last += 1;
      var text = last < 0 ? '–' : line.y[last].toFixed(data.digits) + data.unit;
      if (last >= 0 && line.error) text += ' ± ' + line.error[last].toFixed(data.digits);
      rows[row].lastElementChild.textContent = text;
    });
  }
  slider.addEventListener('input', function () { show(+slider.value); });
  frame.addEventListener('pointermove', function (event) {
    var place = frame.getBoundingClientRect(), x = (event.clientX - place.left) / place.width;
    show(from + (x - box[0]) / (box[1] - box[0]) * (to - from));
  });
  cursor.style.top = 100 * box[2] + '%';
  cursor.style.height = 100 * (box[3] - box[2]) + '%';
  show(+slider.max);
});
