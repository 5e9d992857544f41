// What is chosen goes into the address, which alone decides what is shown; the rest follows it.
(function () {
  "use strict";

  function choose(field) {
    var chosen = new URLSearchParams(window.location.search);
    if (field.value === "") {
      chosen.delete(field.name);
    } else {
      chosen.set(field.name, field.value);
    }
    var text = chosen.toString();
    window.dash_clientside.set_props("at", { search: text ? "?" + text : "" });
  }

  document.addEventListener("change", function (event) {
    var field = event.target;
    if (field.closest && field.closest(".choices") && field.name) {
      choose(field);
    }
  });

  // Who works by keys keeps hold of a field that is drawn anew.
  var held = null;
  document.addEventListener("focusin", function (event) {
    held = event.target;
  });
  document.addEventListener("focusout", function (event) {
    setTimeout(function () {
      if (held === event.target && held.isConnected) {
        held = null;
      }
    });
  });
  function hold() {
    if (held && held.id && !held.isConnected && document.activeElement === document.body) {
      var again = document.getElementById(held.id);
      if (again) {
        again.focus({ preventScroll: true });
      }
    }
  }

  // A list keeps what was chosen in it, also when the address changed by a click or by going back.
  function follow() {
    hold();
    document.querySelectorAll("select[data-chosen]").forEach(function (field) {
      if (field.value !== field.dataset.chosen) {
        field.value = field.dataset.chosen;
      }
    });
    var heading = document.querySelector("main h1");
    var title = heading ? heading.textContent + " - isthmus" : "isthmus";
    if (document.title !== title) {
      document.title = title;
    }
  }

  new MutationObserver(follow).observe(document.body, {
    attributes: true, attributeFilter: ["data-chosen"], childList: true, subtree: true,
  });
})();
