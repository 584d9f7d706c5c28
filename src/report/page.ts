/** Style and script of the HTML report. */

export const STYLE = `
:root{color-scheme:light dark;--page:#f6f6f4;--surface:#fff;--ink:#1b1f24;--muted:#5a626c;--line:#dfdfdb;--grid:#e9e9e6;
--accent:#2456c9;--float:#6f7782;--quantized:#b8500d;--recalibrated:#2456c9;
--good:#4a988b;--good-text:#0b6b5f;--defective:#cf6079;--defective-text:#b01c45;--warn-text:#8a5000;--switch:#ececea}
@media (prefers-color-scheme:dark){:root{--page:#121417;--surface:#1a1d21;--ink:#e8eaed;--muted:#a3abb5;--line:#2f343b;--grid:#292e34;
--accent:#82a8ff;--float:#a3abb5;--quantized:#f59a57;--recalibrated:#82a8ff;
--good:#3f968a;--good-text:#5fd3c3;--defective:#c25f76;--defective-text:#ff8fa6;--warn-text:#f0b45e;--switch:#272b31}}
*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%;scroll-behavior:smooth}
body{margin:0;background:var(--page);color:var(--ink);font:16px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif;
font-variant-numeric:tabular-nums;overflow-wrap:anywhere}
header,main,footer{max-width:1120px;margin:0 auto;padding:0 16px}
header{padding-top:40px}
h1{font-size:clamp(1.75rem,4vw,2.5rem);line-height:1.15;letter-spacing:-.02em;margin:0 0 6px}
h2{font-size:1.25rem;line-height:1.3;letter-spacing:-.01em;margin:0 0 4px}
h3{font-size:1rem;line-height:1.4;margin:0 0 2px}
section>h3{margin:20px 0 6px}
p{margin:0 0 12px;max-width:70ch}
a{color:var(--accent)}
.kicker{color:var(--muted);font-size:.8125rem;letter-spacing:.06em;text-transform:uppercase;margin:0 0 4px}
.facts,.note{color:var(--muted);font-size:.875rem}
.lead{font-size:1.125rem;line-height:1.5;margin:20px 0}
nav{margin:20px 0 0;font-size:.875rem;display:flex;flex-wrap:wrap;gap:4px 18px;border-top:1px solid var(--line);border-bottom:1px solid var(--line);padding:6px 0}
nav a{padding:5px 0;color:var(--ink);text-decoration:none}
nav a:hover{text-decoration:underline}
section{padding-top:40px;scroll-margin-top:8px}
section>.note{margin-bottom:16px}
.card{background:var(--surface);border:1px solid var(--line);border-radius:8px;padding:16px}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,150px),1fr));gap:12px}
.tile{padding:14px 16px}
.tile dt{color:var(--muted);font-size:.8125rem}
.tile dd{margin:0}
.tile .value{font-size:1.625rem;line-height:1.25;font-weight:600;letter-spacing:-.02em}
.tile .change{color:var(--muted);font-size:.8125rem;line-height:1.4}
.tiles{margin:0 0 12px}
.charts{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,316px),1fr));gap:12px}
.chart{margin:0;min-width:0;padding:14px 12px 10px}
.chart svg{display:block;width:100%;height:auto;max-width:430px;margin:0 auto;color:var(--muted)}
.chart figcaption{margin-bottom:8px}
.chart .note{margin:0}
.legend{list-style:none;margin:2px 0 0;padding:0;display:flex;flex-wrap:wrap;gap:0 16px;font-size:.8125rem;color:var(--muted)}
.legend b{color:var(--ink);font-weight:600}
.legend svg{display:inline-block;width:24px;height:8px;margin-right:6px;vertical-align:middle}
.scroll{overflow-x:auto;padding:0}
table{border-collapse:collapse;width:100%;font-size:.875rem}
caption{text-align:left;padding:14px 16px 6px;font-weight:600}
th,td{padding:7px 12px;text-align:right;white-space:nowrap;font-weight:400}
tbody th{white-space:normal;overflow-wrap:anywhere;min-width:150px}
th:first-child,td:first-child{text-align:left;padding-left:16px}
th:last-child,td:last-child{padding-right:16px}
.scroll th:first-child,.scroll td:first-child{position:sticky;left:0;background:var(--surface)}
col.even{width:19%}
thead th{color:var(--muted);font-size:.8125rem;vertical-align:bottom}
thead tr:last-child th{border-bottom:1px solid var(--line)}
tbody+tbody tr:first-child>*{border-top:1px solid var(--line)}
tbody tr.all>*{border-top:1px solid var(--line);font-weight:600}
th.group{text-align:center;border-bottom:1px solid var(--line);color:var(--ink)}
.left{text-align:left!important}
.controls{display:none;flex-wrap:wrap;gap:10px 16px;align-items:end;margin:0 0 16px}
.js .controls{display:flex}
.controls div{font-size:.8125rem;color:var(--muted);display:flex;flex-direction:column;gap:3px;min-width:0}
select{font:inherit;font-size:.9375rem;color:var(--ink);background:var(--surface);border:1px solid var(--muted);border-radius:6px;padding:7px 8px;min-height:40px;max-width:100%}
button{display:none;font:inherit;font-size:.9375rem;color:var(--accent);background:var(--surface);border:1px solid var(--muted);border-radius:6px;padding:8px 16px;min-height:44px;margin-top:14px;cursor:pointer}
.js button:not([hidden]){display:block}
output{font-size:.875rem;color:var(--muted);padding:8px 0}
.gallery{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,240px),1fr));gap:14px}
.item{margin:0;padding:0;overflow:hidden;display:flex;flex-direction:column}
.item[hidden]{display:none}
.view{display:grid;aspect-ratio:1;background:#14161a}
.layer{grid-area:1/1;width:100%;height:100%;min-height:0;object-fit:contain;opacity:0;visibility:hidden;transition:opacity .16s,visibility .16s}
.layer.shown{opacity:1;visibility:visible}
.switch{display:none;position:relative;margin:10px 12px 0;border-radius:7px;background:var(--switch);height:40px}
.js .switch{display:block}
.switch input{-webkit-appearance:none;appearance:none;position:absolute;inset:0;width:100%;height:100%;margin:0;background:none;border-radius:7px;cursor:pointer}
.switch input::-webkit-slider-runnable-track{height:100%;background:none}
.switch input::-webkit-slider-thumb{-webkit-appearance:none;width:calc(100%/var(--stops));height:100%;background:var(--surface);border:1px solid var(--muted);border-radius:7px}
.switch input::-moz-range-track{height:100%;background:none}
.switch input::-moz-range-thumb{box-sizing:border-box;width:calc(100%/var(--stops));height:100%;background:var(--surface);border:1px solid var(--muted);border-radius:7px}
.stops{position:absolute;inset:0;display:grid;grid-template-columns:repeat(var(--stops),1fr);align-items:center;text-align:center;font-size:.75rem;color:var(--muted);pointer-events:none}
.stops .on{color:var(--ink);font-weight:600}
.item figcaption{padding:10px 14px 14px;font-size:.8125rem;line-height:1.45;display:flex;flex-wrap:wrap;align-items:baseline;gap:2px 8px}
.item .defect{font-size:.875rem;font-weight:600}
.item .name,.item .score{flex-basis:100%;color:var(--muted)}
.badge{font-size:.75rem;font-weight:600;line-height:1.5;border:1px solid currentColor;border-radius:999px;padding:0 9px}
.badge[data-outcome=missed]{color:var(--surface);background:var(--defective-text);border-color:var(--defective-text)}
.badge[data-outcome="false alarm"]{color:var(--surface);background:var(--warn-text);border-color:var(--warn-text)}
.badge[data-outcome=found],.badge[data-outcome=passed]{color:var(--good-text)}
.badge[data-outcome="not judged"]{color:var(--muted)}
details{margin-top:12px}
summary{cursor:pointer;font-size:.875rem;padding:6px 0;color:var(--accent)}
pre{margin:0 0 12px;padding:14px 16px;overflow-x:auto;font:.8125rem/1.55 ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace;white-space:pre;overflow-wrap:normal}
code{display:block;white-space:normal;padding-left:2ch;text-indent:-2ch;font:inherit}
code span{display:inline-block;text-indent:0;max-width:100%;overflow-wrap:anywhere}
.facts-list{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,220px),1fr));gap:10px 24px;margin:0 0 16px;font-size:.875rem}
.facts-list dt{color:var(--muted);font-size:.8125rem}
.facts-list dd{margin:0}
footer{padding-top:40px;padding-bottom:40px;color:var(--muted);font-size:.8125rem}
:focus-visible{outline:3px solid var(--accent);outline-offset:2px}
@media (max-width:520px){.facts-list{grid-template-columns:1fr 1fr}header{padding-top:24px}.tiles{grid-template-columns:1fr 1fr;gap:8px}.tile{padding:12px}.tile .value{font-size:1.375rem}.charts,.gallery{gap:10px}th,td{padding:7px 5px}th:first-child,td:first-child{padding-left:12px}th:last-child,td:last-child{padding-right:12px}tbody th{min-width:88px;line-height:1.3}table{font-size:.8125rem}thead th{font-size:.75rem}col.even{width:auto}}
@media (prefers-reduced-motion:reduce){html{scroll-behavior:auto}.layer{transition:none}}
@media print{
:root{color-scheme:light;--page:#fff;--surface:#fff;--ink:#000;--muted:#444;--line:#bbb;--grid:#ddd;--accent:#2456c9;--float:#6f7782;--quantized:#b8500d;--recalibrated:#2456c9;
--good:#4a988b;--good-text:#0b6b5f;--defective:#cf6079;--defective-text:#b01c45;--warn-text:#8a5000}
body{font-size:10.5pt}nav,.js .controls,.js .switch,.js button{display:none!important}
*{-webkit-print-color-adjust:exact;print-color-adjust:exact}
.card,tr{break-inside:avoid}h2,h3,caption{break-after:avoid}section{padding-top:24px}
.scroll,pre{overflow:visible}.scroll th:first-child,.scroll td:first-child{position:static}.charts{grid-template-columns:repeat(auto-fit,minmax(190px,1fr))}table{font-size:8.5pt}th,td{padding:4px 5px;white-space:normal}thead th,.legend{font-size:8pt}summary{display:none}pre{white-space:pre-wrap}
.gallery{grid-template-columns:repeat(2,1fr)}
.view{display:flex;aspect-ratio:auto}.layer{flex:1 1 0;width:0;height:auto;opacity:1;visibility:visible}
}
`;

/** Pictures that the gallery begins with: what follows it should not be far. */
const FIRST_FIGURES = 12;

/** Switches the gallery's pictures and chooses among its figures. Without it the heat maps are shown. */
export const SCRIPT = `
(() => {
  document.documentElement.classList.add('js');
  const items = [...document.querySelectorAll('.item')].map((figure) => {
    const range = figure.querySelector('input');
    const layers = [...figure.querySelectorAll('.layer')];
    const stops = [...figure.querySelectorAll('.stops span')];
    const show = () => {
      const at = Number(range.value);
      layers.forEach((layer, i) => layer.classList.toggle('shown', i === at));
      stops.forEach((stop, i) => stop.classList.toggle('on', i === at));
      range.setAttribute('aria-valuetext', layers[at].dataset.kind);
    };
    range.addEventListener('input', show);
    // Browsers restore the value of a reloaded page.
    show();
    return { figure, turn: (kind) => {
      const at = layers.findIndex((layer) => layer.dataset.kind === kind);
      if (at < 0) return;
      range.value = String(at);
      show();
    } };
  });
  addEventListener('beforeprint', () => {
    document.querySelectorAll('details').forEach((each) => { each.open = true; });
    document.querySelectorAll('.layer').forEach((each) => { each.loading = 'eager'; });
  });
  const [outcome, defect, layer] = ['outcome', 'defect', 'layer'].map((name) => document.getElementById('pick-' + name));
  if (!outcome) return;
  const more = document.getElementById('more');
  let most = ${FIRST_FIGURES};
  const filter = () => {
    let chosen = 0;
    for (const { figure } of items) {
      const fits = (select, value) => select.value === '' || select.value === value;
      const isChosen = fits(outcome, figure.dataset.outcome) && fits(defect, figure.dataset.defect);
      if (isChosen) chosen++;
      figure.hidden = !isChosen || chosen > most;
    }
    document.getElementById('picked').textContent = chosen + ' of ' + items.length + ' images';
    more.hidden = chosen <= most;
    more.textContent = 'Show ' + (chosen - most) + ' more';
  };
  const choose = () => {
    most = ${FIRST_FIGURES};
    filter();
  };
  outcome.addEventListener('change', choose);
  defect.addEventListener('change', choose);
  more.addEventListener('click', () => {
    most = items.length;
    filter();
  });
  layer.addEventListener('change', () => items.forEach(({ turn }) => turn(layer.value)));
  filter();
})();
`;
