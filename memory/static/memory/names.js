// Completes names: fills the list of an input with data-memory-names from that address, after a pause in typing.
"use strict";
document.addEventListener("DOMContentLoaded", () => {
// The only label of the search box of lists is a picture.
const search = document.getElementById("searchbar");
search?.setAttribute("aria-label", document.querySelector("label[for=searchbar] img")?.alt || "Search");
for (const input of document.querySelectorAll("input[data-memory-names]")) {
    const list = input.list;
    let timer = 0;
    let asked = null;
    const complete = async () => {
        const part = input.value.trim();
        if (part === asked) return;
        asked = part;
        const response = await fetch(`${input.dataset.memoryNames}?q=${encodeURIComponent(part)}`, {credentials: "same-origin"});
        if (!response.ok || asked !== part) return;
        const {names} = await response.json();
        list.replaceChildren(...names.map(name => Object.assign(document.createElement("option"), {value: name})));
    };
    const later = () => {
        clearTimeout(timer);
        timer = setTimeout(complete, 200);
    };
    input.addEventListener("input", later);
    input.addEventListener("focus", later);
}
});
