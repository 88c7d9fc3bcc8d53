// Starts ReDoc with the address of the OpenAPI document.
Redoc.init(
  document.currentScript.dataset.url,
  { theme: { typography: { fontFamily: "system-ui, sans-serif", headings: { fontFamily: "system-ui, sans-serif" } } } },
  document.getElementById("redoc"),
);
