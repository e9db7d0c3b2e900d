"use strict";
(() => {
	const form = document.getElementById("filters");
	const rows = [...document.querySelectorAll("tr.req")].map(tr => {
		const det = tr.nextElementSibling;
		const cells = [...tr.querySelectorAll("td[class*='v-']")].map(td => /v-(\w+)/.exec(td.className)[1]);
		const ids = [...det.querySelectorAll("h4, .also, .meta")].map(e => e.textContent).join(" ");
		return {tr, det, button: tr.querySelector("button"), cells, kind: tr.dataset.kind,
			text: (tr.id + " " + tr.querySelector("th").textContent + " " + ids).toLowerCase()};
	});

	function toggle(row, on) {
		row.button.setAttribute("aria-expanded", on);
		row.det.classList.toggle("on", on);
	}
	function isOpen(row) { return row.button.getAttribute("aria-expanded") === "true"; }

	// What the filters ask for.
	function wanted(row, f) {
		if (!f.kinds.has(row.kind)) return false;
		if (!f.words.every(w => row.text.includes(w))) return false;
		if (!f.verdict) return true;
		const cells = f.target === "" ? row.cells : row.cells.slice(2 * f.target, 2 * f.target + 2);
		if (f.verdict === "differ") return new Set(row.cells.filter(v => v !== "none" && v !== "skip")).size > 1;
		return cells.includes(f.verdict);
	}
	function filter() {
		const data = new FormData(form);
		const f = {
			words: data.get("text").toLowerCase().split(/\s+/).filter(Boolean),
			kinds: new Set(data.getAll("kind")), verdict: data.get("verdict"), target: data.get("target"),
		};
		let shown = 0;
		for (const row of rows) {
			const show = wanted(row, f);
			row.tr.hidden = !show;
			row.det.hidden = !show;
			if (show) shown++;
		}
		for (const head of document.querySelectorAll("tbody.group")) {
			const body = head.nextElementSibling;
			const n = body.querySelectorAll("tr.req:not([hidden])").length;
			head.hidden = n === 0;
			head.querySelector(".n").textContent = n;
		}
		document.getElementById("shown").textContent = shown + " of " + rows.length + " rows";
		document.getElementById("nothing").hidden = shown > 0;
	}

	// The row, or the case within one, that the address names.
	function go() {
		const target = location.hash.length > 1 && document.getElementById(decodeURIComponent(location.hash.slice(1)));
		if (!target) return;
		const row = rows.find(r => r.tr === target || r.det.contains(target));
		if (!row) return;
		if (row.tr.hidden) {
			form.reset();
			filter();
		}
		toggle(row, true);
		target.scrollIntoView();
	}

	async function copy(button) {
		const code = button.previousElementSibling;
		let done = false;
		try {
			await navigator.clipboard.writeText(code.textContent);
			done = true;
		} catch {
			// Some browsers give no clipboard to a page from disk.
			getSelection().selectAllChildren(code);
			done = document.execCommand("copy");
		}
		button.textContent = done ? "Copied" : "Selected";
		setTimeout(() => { button.textContent = "Copy"; }, 1500);
	}

	document.addEventListener("click", e => {
		const button = e.target.closest("button.copy");
		if (button) return copy(button);
		const tr = e.target.closest("tr.req");
		if (!tr || e.target.closest("a") || getSelection().toString()) return;
		const row = rows.find(r => r.tr === tr);
		toggle(row, !isOpen(row));
	});
	form.addEventListener("input", filter);
	form.addEventListener("reset", () => setTimeout(filter));
	form.addEventListener("submit", e => e.preventDefault());
	document.getElementById("expand").addEventListener("click", () => rows.forEach(r => r.tr.hidden || toggle(r, true)));
	document.getElementById("collapse").addEventListener("click", () => rows.forEach(r => toggle(r, false)));
	addEventListener("hashchange", go);

	rows.forEach(r => toggle(r, false));
	filter();
	go();
})();
