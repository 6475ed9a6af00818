// The basket: product ids and quantities, kept in the browser. commerce has none: what counts is what is ordered.

const key = 'storefront.basket';
const listeners = [];

export function lines() {
	try {
		return JSON.parse(localStorage.getItem(key)).filter((l) => Number.isSafeInteger(l.product_id) && l.quantity > 0);
	} catch {
		return [];
	}
}

function keep(changed) {
	localStorage.setItem(key, JSON.stringify(changed));
	for (const listener of listeners) listener();
}

export const onChange = (listener) => listeners.push(listener);
export const count = () => lines().reduce((sum, l) => sum + l.quantity, 0);
export const empty = () => keep([]);

export function set(product, quantity) {
	const others = lines();
	const line = others.find((l) => l.product_id === product);
	if (line) line.quantity = quantity;
	else others.push({ product_id: product, quantity });
	keep(others.filter((l) => l.quantity > 0));
}

export const add = (product, quantity) => set(product, quantity + (lines().find((l) => l.product_id === product)?.quantity ?? 0));

window.addEventListener('storage', (event) => { if (event.key === key) for (const listener of listeners) listener(); });
