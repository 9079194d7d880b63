// ECharts, and of it only what our four charts are made of. Loaded when the first chart is shown.

import { BarChart, HeatmapChart, LineChart } from "echarts/charts";
import { AriaComponent, GridComponent, LegendComponent, MarkLineComponent, TooltipComponent, VisualMapComponent } from "echarts/components";
import { init, use } from "echarts/core";
import { SVGRenderer } from "echarts/renderers";

use([
  LineChart,
  BarChart,
  HeatmapChart,
  GridComponent,
  TooltipComponent,
  LegendComponent,
  VisualMapComponent,
  MarkLineComponent,
  AriaComponent,
  SVGRenderer,
]);

export type Chart = ReturnType<typeof init>;

export function draw(place: HTMLElement, isDark: boolean): Chart {
  const chart = init(place, isDark ? "dark" : undefined, { renderer: "svg" });
  // When a chart goes, ECharts empties its place by a text, which our pages let no script do.
  for (const part of [place, place.querySelector("svg")!]) {
    Object.defineProperty(part, "innerHTML", { set: () => part.replaceChildren() });
  }
  return chart;
}
