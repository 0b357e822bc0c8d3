// Draw the figures whose data stand in script elements of the page.
document.querySelectorAll('.plot').forEach(function (box) {
  var figure = JSON.parse(document.getElementById(box.dataset.figure).textContent);
  var layout = figure.layout, names = figure.data.map(function (trace) { return trace.name; });
  var margin = layout.margin, plot = layout.height - margin.t - margin.b, width = 0;
  // The legend stands below the title of the axis, however many lines it takes.
  function fit() {
    if (!box.clientWidth || box.clientWidth === width) return;
    width = box.clientWidth;
    var narrow = width < 600;
    Plotly.restyle(box, {name: names.map(function (name) {
      return name && narrow ? name.replace(/, /g, ',<br>') : name;
    })});
    Plotly.relayout(box, {width: width, height: 3000, 'margin.b': 2000,
      'margin.l': narrow ? 50 : margin.l, 'margin.r': narrow ? 8 : margin.r,
      'font.size': narrow ? 11 : 13, 'legend.orientation': narrow ? 'v' : 'h',
      'legend.maxheight': 1900}).then(function () {
      var legend = box.querySelector('.legend .bg');
      var below = 58 + (legend ? legend.getBBox().height : 0);
      Plotly.relayout(box, {height: plot + margin.t + below, 'margin.b': below,
        'legend.y': -54 / plot});
    });
  }
  Plotly.newPlot(box, figure.data, layout,
    {displaylogo: false,
     modeBarButtons: [['toImage', 'zoom2d', 'pan2d', 'resetScale2d']]}).then(fit);
  window.addEventListener('resize', fit);
});
