// Better with it, whole without: when jobs are over, the page asks for itself again and replaces what has changed.
"use strict";
const page = document.querySelector("main[data-live]");
if (page) {
  let waiting = false;
  let again = false;
  const renew = async () => {
    if (waiting) {
      again = true;
      return;
    }
    waiting = true;
    try {
      const answer = await fetch(location.href, { headers: { Accept: "text/html" }, redirect: "error" });
      if (answer.ok) {
        const fresh = new DOMParser().parseFromString(await answer.text(), "text/html").querySelector("main");
        // What someone is typing stays.
        const typing = page.contains(document.activeElement) && document.activeElement.matches("input, textarea, select");
        if (fresh && !typing) page.replaceChildren(...fresh.childNodes);
      }
    } catch {
      // The next message asks again.
    }
    await new Promise((done) => setTimeout(done, 500));
    waiting = false;
    if (again) {
      again = false;
      renew();
    }
  };
  new EventSource("/events").onmessage = renew;
}
