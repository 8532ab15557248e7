'use strict'
const byId = name => document.getElementById(name)
const all = selector => [...document.querySelectorAll(selector)]

// Tables: a click on a heading sorts, first the better way round for figures.
const read = cell => {
  const text = cell.dataset.value ?? cell.textContent.replaceAll(',', '').trim()
  return text !== '' && isFinite(text) ? Number(text) : cell.dataset.value === undefined ? text : NaN
}
all('table.sortable').forEach(table => {
  const body = table.tBodies[0]
  table.querySelectorAll('thead th').forEach((heading, column) => {
    const button = document.createElement('button')
    button.type = 'button'
    button.append(...heading.childNodes)
    heading.append(button)
    button.addEventListener('click', () => {
      const first = heading.textContent.includes('↓') || column === 0 ? 'ascending' : 'descending'
      const now = heading.getAttribute('aria-sort')
      const order = now === null ? first : now === 'ascending' ? 'descending' : 'ascending'
      table.querySelectorAll('thead th').forEach(other => other.removeAttribute('aria-sort'))
      heading.setAttribute('aria-sort', order)
      const sign = order === 'ascending' ? 1 : -1
      const rows = [...body.rows].map(row => [read(row.cells[column]), row])
      rows.sort(([a], [b]) => {
        const [none, other] = [a === '–', b === '–']
        if (none || other) return none - other
        return typeof a === 'number' && typeof b === 'number' ? sign * (a - b) : sign * String(a).localeCompare(String(b))
      })
      body.append(...rows.map(([, row]) => row))
    })
  })
})

// Differences: one editor is chosen, from which the others differ.
byId('reference')?.addEventListener('change', event => {
  all('[data-reference]').forEach(part => { part.hidden = part.dataset.reference !== event.target.value })
})

// Downloads: made here, from what stands in the page.
const save = (name, type, text) => {
  const link = document.createElement('a')
  link.href = URL.createObjectURL(new Blob([text], { type }))
  link.download = name
  link.click()
  setTimeout(() => URL.revokeObjectURL(link.href), 1000)
}
const columns = ['editor', 'metric', 'by', 'group', 'value', 'low', 'high', 'n']
// A spreadsheet takes a text that begins like these for a formula.
const quote = value => {
  const text = value === null || value === undefined ? '' : String(value)
  const safe = typeof value === 'string' && /^[=+\-@\t\r]/.test(text) ? `'${text}` : text
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe
}
const asCsv = data => [columns, ...data.figures.map(row => columns.map(name => row[name]))]
  .map(row => row.map(quote).join(',')).join('\r\n') + '\r\n'
byId('csv')?.addEventListener('click', () =>
  save('chronofacts-figures.csv', 'text/csv', asCsv(JSON.parse(byId('data').textContent))))
byId('json')?.addEventListener('click', () => save('chronofacts-figures.json', 'application/json', byId('data').textContent))

// Examples: filters, and so many at a time.
const PAGE = 20
let most = PAGE
const wanted = { kind: '', relation: '', hops: '', editor: '', verdict: '' }
const cards = all('article')
const answers = new Map(cards.map(card => [card, [...card.querySelectorAll('tr')].map(row => row.dataset)]))
function fits(card, word) {
  if (['kind', 'relation', 'hops'].some(name => wanted[name] && card.dataset[name] !== wanted[name])) return false
  if (wanted.editor) {
    if (!answers.get(card).some(one => one.editor === wanted.editor && (!wanted.verdict || one.verdict === wanted.verdict)))
      return false
  } else if (wanted.verdict && !card.dataset.verdict.split(' ').includes(wanted.verdict)) return false
  return !word || card.textContent.toLowerCase().includes(word)
}
function show() {
  const word = byId('search').value.trim().toLowerCase()
  let found = 0
  cards.forEach(card => {
    const one = fits(card, word)
    card.hidden = !one || found >= most
    found += one
  })
  byId('shown').textContent = `${Math.min(found, most)} of ${found} that fit, of ${cards.length} examples`
  byId('further').hidden = found <= most
}
all('[data-filter]').forEach(select => select.addEventListener('change', () => {
  wanted[select.dataset.filter] = select.value
  most = PAGE
  show()
}))
if (byId('search')) {
  byId('search').addEventListener('input', () => { most = PAGE; show() })
  byId('further').addEventListener('click', () => { most += 3 * PAGE; show() })
  show()
}
