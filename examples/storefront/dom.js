// Elements. What comes from the shop is set as text or as an attribute, never as HTML.

// h('p', { class: 'note', on: { click } }, 'text', element, …): nothing comes of null and false.
export function h(tag, attributes = {}, ...children) {
	const element = document.createElement(tag);
	for (const [name, value] of Object.entries(attributes ?? {})) {
		if (value === null || value === undefined || value === false) continue;
		if (name === 'on') for (const [event, listener] of Object.entries(value)) element.addEventListener(event, listener);
		else if (['value', 'checked', 'disabled', 'hidden'].includes(name)) element[name] = value;
		else element.setAttribute(name, value === true ? '' : value);
	}
	put(element, ...children);
	return element;
}

export function put(element, ...children) {
	element.replaceChildren(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
	return element;
}

// A text that changes while it is looked at: a screen reader is told only what is new.
export function say(element, text) {
	if (element.textContent !== text) element.textContent = text;
}

export const button = (text, click, attributes = {}) => h('button', { type: 'button', ...attributes, on: { click } }, text);

// A field with its label.
let fields = 0;
export function field(label, control, note) {
	control.id ||= `field-${++fields}`;
	const described = note && h('small', { id: `${control.id}-note` }, note);
	if (described) control.setAttribute('aria-describedby', described.id);
	return h('div', { class: 'field' }, h('label', { for: control.id }, label), control, described);
}

export const facts = (pairs, attributes) => h('dl', attributes, pairs.filter(Boolean).map(([title, value, style]) => h('div', { class: style }, h('dt', {}, title), h('dd', {}, value))));

// Calls f, which returns a promise, now and then until the page is left; not while nobody looks, nor before it has ended.
export function every(milliseconds, signal, f) {
	let busy = false;
	const timer = setInterval(async () => {
		if (busy || document.hidden) return;
		busy = true;
		try { await f(); } finally { busy = false; }
	}, milliseconds);
	signal.addEventListener('abort', () => clearInterval(timer));
}

const none = 'pictures/none.svg';
export function picture(product, size) {
	const image = h('img', { src: product?.image_urls?.[0] ?? none, alt: '', loading: 'lazy', width: size, height: size });
	image.addEventListener('error', () => { if (image.getAttribute('src') !== none) image.src = none; });
	return h('span', { class: 'picture' }, image);
}
