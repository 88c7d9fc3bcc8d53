// Starts Swagger UI with the configuration of the page.
{
  const { config, oauth } = document.currentScript.dataset;
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const setTheme = () => document.documentElement.classList.toggle("dark-mode", dark.matches);
  dark.addEventListener("change", setTheme);
  setTheme();
  const ui = SwaggerUIBundle({
    ...JSON.parse(config),
    dom_id: "#swagger-ui",
    presets: [SwaggerUIBundle.presets.apis, SwaggerUIBundle.SwaggerUIStandalonePreset],
  });
  if (JSON.parse(oauth) !== null) ui.initOAuth(JSON.parse(oauth));
  window.ui = ui;
}
