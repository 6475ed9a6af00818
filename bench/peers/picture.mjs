// A picture of CPU time an order: bars by a logarithmic scale, with their figures.

// bars: [[name, milliseconds], ...]
export function picture(bars) {
  const width = 720, left = 240, row = 34, top = 46, height = top + row * bars.length + 40;
  const decades = [0.1, 1, 10, 100, 1000];
  const x = (ms) => left + (width - left - 80) * (Math.log10(ms) + 1) / 4;
  const text = (at, y, what, more = '') => `<text x="${at}" y="${y}" ${more}>${what}</text>`;
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" font-family="sans-serif" font-size="13">
<rect width="${width}" height="${height}" fill="white"/>
${text(12, 24, 'CPU time of one order: application, PostgreSQL, Redis (ms, logarithmic)', 'font-weight="bold"')}
${decades.map((ms) => `<line x1="${x(ms)}" y1="${top - 8}" x2="${x(ms)}" y2="${height - 34}" stroke="#ddd"/>${text(x(ms), height - 16, ms, 'text-anchor="middle" fill="#666"')}`).join('\n')}
${bars.map(([name, ms], i) => {
    const y = top + row * i;
    return `<rect x="${left}" y="${y}" width="${(x(ms) - left).toFixed(1)}" height="${row - 12}" fill="${name.startsWith('commerce') ? '#336791' : '#b0b7be'}"/>`
      + text(left - 8, y + 16, name, 'text-anchor="end"') + text((x(ms) + 6).toFixed(1), y + 16, ms < 10 ? ms.toFixed(2) : ms.toFixed(0));
  }).join('\n')}
</svg>
`;
}
