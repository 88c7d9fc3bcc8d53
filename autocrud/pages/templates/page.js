
// Conveniences. Every page works without this script.
for (const form of document.querySelectorAll("form[data-filter]")) {
  const [field, operator] = [form.elements._field, form.elements._operator];
  const all = [...operator.options];
  const showOperators = () => {
    const names = field.selectedOptions[0].dataset.operators.split(" ");
    operator.replaceChildren(...all.filter((option) => names.includes(option.value)));
    operator.selectedIndex = 0;
  };
  field.addEventListener("change", showOperators);
  showOperators();
}
for (const form of document.querySelectorAll("form[data-slider]")) {
  const [slider, output] = [form.elements._version, form.querySelector("output")];
  const commits = new Map([...form.querySelectorAll("option")].map((option) => [option.value, option.label]));
  slider.addEventListener("input", () => { output.value = commits.get(slider.value) ?? slider.value; });
}
