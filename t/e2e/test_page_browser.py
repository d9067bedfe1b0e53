"""The approvers' page in Chromium, with the mouse, with the keyboard, and without scripts. GH_SHOTS, a folder: pictures of what it looks like."""
import base64
import hashlib
import os
import shutil
import subprocess
import tempfile
import time

from selenium import webdriver
from selenium.common.exceptions import NoAlertPresentException, NoSuchElementException, StaleElementReferenceException
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select

import pagegate
import stack

HOSTILE = "INSERT INTO scratch.t VALUES (1, $$</code></a><script>document.title='owned'</script><img src=x onerror=alert(1)>$$) /* \u202e \u0430 */"


def pin(certificate):
    """The certificate's public key, as Chromium wants it: it trusts no other that the system does not know."""
    key = subprocess.run(["openssl", "x509", "-in", certificate, "-noout", "-pubkey"], check=True, stdout=subprocess.PIPE).stdout
    der = subprocess.run(["openssl", "pkey", "-pubin", "-outform", "DER"], input=key, check=True, stdout=subprocess.PIPE).stdout
    return base64.b64encode(hashlib.sha256(der).digest()).decode()


class Chromium(pagegate.Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.home = tempfile.mkdtemp(prefix="gh-chromium.", dir="/tmp")
        cls.addClassCleanup(shutil.rmtree, cls.home, ignore_errors=True)
        cls.driver = cls.start()
        cls.addClassCleanup(cls.driver.quit)

    @classmethod
    def start(cls, *more, scripts=True):
        o = Options()
        o.binary_location = "/usr/bin/chromium"
        pins = ",".join(pin(p) for p in (cls.gate.dir + "/edge.crt", cls.idp.dir + "/server.pem"))
        profile = tempfile.mkdtemp(dir=cls.home)
        for arg in ("--headless=new", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--disable-background-networking", "--disable-extensions",
                    "--disable-component-update", "--window-size=1100,900", f"--user-data-dir={profile}", f"--ignore-certificate-errors-spki-list={pins}", *more):
            o.add_argument(arg)
        if os.getuid() == 0:
            o.add_argument("--no-sandbox")
        if not scripts:
            o.add_experimental_option("prefs", {"profile.managed_default_content_settings.javascript": 2})
        o.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        driver = webdriver.Chrome(options=o, service=Service("/usr/bin/chromedriver", env=dict(os.environ, HOME=profile)))
        driver.set_page_load_timeout(30)
        return driver

    # --- what a person does ---

    def find(self, css, driver=None):
        def look():
            try:
                return (driver or self.driver).find_element(By.CSS_SELECTOR, css)
            except (NoSuchElementException, StaleElementReferenceException):
                return None
        return stack.wait_until(f"{css} on the page", look)

    def text(self, css="main", driver=None):
        while True:
            try:
                return self.find(css, driver).text
            except StaleElementReferenceException:
                pass

    def has(self, css, driver=None):
        return bool((driver or self.driver).find_elements(By.CSS_SELECTOR, css))

    def until_text(self, words, css="main", driver=None):
        stack.wait_until(f"{words!r} on the page", lambda: words in self.text(css, driver))

    def enter(self, name, driver=None, path="/"):
        """Signs in as NAME, who is picked on the provider's page."""
        driver = driver or self.driver
        driver.delete_all_cookies()
        driver.get(self.gate.url + path)
        self.find("#sign-in", driver).click()
        self.find("#" + name, driver).click()
        self.until_text(f"{name}@shop.example", "#who", driver)

    def shot(self, name, driver=None):
        if os.environ.get("GH_SHOTS"):
            (driver or self.driver).save_screenshot(os.path.join(os.environ["GH_SHOTS"], name + ".png"))

    def complaints(self):
        """Of the content security policy, above all."""
        return [e["message"] for e in self.driver.get_log("browser") if "favicon" not in e["message"]]

    # --- tests ---

    def setUp(self):
        self.driver.get_log("browser")  # of the test before

    def test_live(self):
        """Sign in, see a request appear, approve it, and the statement runs once; the page follows what becomes of it."""
        self.driver.delete_all_cookies()
        self.driver.get(self.gate.url + "/")
        self.shot("door")
        self.enter("dba")
        sql = "/* reason: the customer called */ INSERT INTO scratch.t VALUES (10, 'browser')"
        ident = self.ask(sql)
        self.find(f"#r-{ident}")  # nobody has reloaded anything
        self.assertRegex(self.text(f"#r-{ident}"), r"decide by 20\d\d-\d\d-\d\d \d\d:\d\d:\d\d UTC \(\d+ (min|h) left\)")
        self.assertIn("waiting", self.driver.title)
        self.shot("list")
        self.find(f"#r-{ident}").click()
        self.until_text("scratch.t:insert")
        self.assertEqual(self.text("#by"), "asker@shop.example")
        self.shot("request")
        self.find("#reason").send_keys("fine with me")
        self.find("#approve").click()
        self.until_text("approved by dba@shop.example", "#decisions")
        self.shot("approved")
        self.assertEqual(self.run_sql(sql), 1)
        self.until_text("used", "h1")
        self.assertFalse(self.has("#decide"))
        again = self.ask(sql)
        self.assertNotEqual(again, ident)
        self.driver.get(f"{self.gate.url}/requests/{again}")
        self.until_text("fine with me")
        self.find("#reason").send_keys("what I write stays")
        two = self.signed_in("dba2@shop.example")
        self.assertEqual(self.decide(two, again, "deny", "not twice").status, 303)
        self.until_text("denied by dba2@shop.example", "#decisions")
        self.assertFalse(self.has("#approve"))
        self.shot("denied")
        self.assertEqual(self.complaints(), [])

    def test_grant(self):
        ident = self.ask("INSERT INTO scratch.g VALUES (1)")
        self.enter("dba", path=f"/requests/{ident}")
        Select(self.find("#for")).select_by_visible_text("for 10 min")
        Select(self.find("#scope")).select_by_value("kind")
        self.shot("grant")
        self.find("#approve").click()
        self.until_text("for 10 min (kind)", "#decisions")
        for n in (1, 2):
            self.assertEqual(self.run_sql(f"INSERT INTO scratch.g VALUES ({n})"), 1)

    def test_written_text_stays(self):
        ident = self.ask("UPDATE scratch.t SET n = n WHERE n = 11")
        self.enter("dba", path=f"/requests/{ident}")
        self.assertTrue(self.driver.current_url.endswith(ident))  # back where one wanted to go
        self.find("#reason").send_keys("half a sen")
        self.assertEqual(self.decide(self.signed_in("dba2@shop.example"), ident, "approve").status, 303)
        self.until_text("approved by dba2@shop.example", "#decisions")
        field = self.find("#reason")
        self.assertEqual(field.get_property("value"), "half a sen")
        field = self.driver.switch_to.active_element
        field.send_keys("tence")
        self.assertEqual(self.find("#reason").get_property("value"), "half a sentence")
        self.find("#approve").click()
        self.until_text("approved", "h1")

    def test_hostile_text(self):
        """Nothing of a statement, a name or a reason is ever anything but text."""
        ident = self.ask(HOSTILE, "evil")
        self.enter("dba")
        for path in ("/", f"/requests/{ident}", "/?all=1"):
            self.driver.get(self.gate.url + path)
            self.until_text("<script>document.title='owned'</script>")
            time.sleep(2.5)  # once by the page, once by its script
            self.assertNotIn("owned", self.driver.title)
            self.assertFalse(self.has("main img") or self.has("main script"))
            with self.assertRaises(NoAlertPresentException):
                self.driver.switch_to.alert
        self.driver.get(f"{self.gate.url}/requests/{ident}")
        self.assertEqual(self.text("#sql mark"), "U+202E")
        self.assertEqual(self.text("#sql u"), "\u0430")
        self.shot("hostile")
        self.find("#reason").send_keys("<img src=x onerror=alert(3)>")
        self.find("#deny").click()
        self.until_text("<img src=x onerror=alert(3)>", "#decisions")
        self.assertEqual(self.complaints(), [])

    def test_long_statement(self):
        """All of it is on the page, with nothing to scroll inside of it and nothing out of sight at its side."""
        sql = "INSERT INTO scratch.t VALUES\n" + ",\n".join(f"    ({i}, '{'x' * 300}')" for i in range(80)) + "\n\n\n\n\n\n\n\n\n\n" + " " * 3000 + "-- the end"
        ident = self.ask(sql)
        self.enter("dba", path=f"/requests/{ident}")
        box = self.find("#sql")
        sizes = self.driver.execute_script("const e = arguments[0]; return [e.scrollWidth - e.clientWidth, e.scrollHeight - e.clientHeight,"
                                           "document.documentElement.scrollWidth - innerWidth, e.querySelectorAll('i').length]", box)
        self.assertLessEqual(max(sizes[:3]), 0, sizes)
        self.assertEqual(sizes[3], 83)
        self.assertIn("9 empty lines", box.text)
        self.assertIn("3000 blanks", box.text)
        self.assertTrue(box.text.rstrip().endswith("-- the end"))

    def test_keyboard(self):
        """Without a mouse."""
        idents = [self.ask(f"INSERT INTO scratch.t VALUES (12, 'key {i}')") for i in range(2)]
        self.enter("dba")
        self.find(f"#r-{idents[1]}")
        for _ in range(40):
            self.driver.switch_to.active_element.send_keys("j")
            if self.driver.switch_to.active_element.get_attribute("id") == f"r-{idents[0]}":
                break
        self.driver.switch_to.active_element.send_keys(Keys.ENTER)
        self.until_text("key 0", "#sql")
        for _ in range(20):
            self.driver.switch_to.active_element.send_keys(Keys.TAB)
            if self.driver.switch_to.active_element.get_attribute("id") == "reason":
                break
        self.driver.switch_to.active_element.send_keys("typed", Keys.TAB)
        self.assertEqual(self.driver.switch_to.active_element.get_attribute("id"), "approve")
        self.driver.switch_to.active_element.send_keys(Keys.ENTER)
        self.until_text("typed", "#decisions")
        self.assertEqual(self.state(idents[0]), "approved")

    def test_narrow_and_dark(self):
        ident = self.ask("/* reason: a phone is narrow */ INSERT INTO scratch.t (n, s) VALUES (13, 'a_rather_long_word_" + "w" * 60 + "')")
        self.enter("dba")
        try:
            for name, width, scheme in (("light", 1100, "light"), ("dark", 1100, "dark"), ("phone", 360, "light"), ("phone-dark", 360, "dark")):
                self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {"width": width, "height": 780, "deviceScaleFactor": 1, "mobile": width < 500})
                self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]})
                for path in ("/", f"/requests/{ident}"):
                    self.driver.get(self.gate.url + path)
                    self.until_text("a phone is narrow")
                    self.shot(f"{name}-{'list' if path == '/' else 'request'}")
                    over = self.driver.execute_script("return document.documentElement.scrollWidth - innerWidth")
                    self.assertLessEqual(over, 0, (name, path))
                    bg, text = self.driver.execute_script("const s = getComputedStyle(document.body); return [s.backgroundColor, s.color]")
                    light = [sum(map(int, c[4:-1].split(", "))) / 3 for c in (bg, text)]
                    self.assertGreater(light[scheme == "dark"] - light[scheme == "light"], 150, (name, bg, text))
        finally:
            self.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
            self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})

    def test_without_scripts(self):
        driver = self.start(scripts=False)
        try:
            sql = "INSERT INTO scratch.t VALUES (14, 'no script')"
            ident = self.ask(sql)
            self.enter("dba2", driver)
            self.find(f"#r-{ident}", driver).click()
            self.until_text("no script", "#sql", driver)
            self.find("#approve", driver).click()
            self.until_text("approved by dba2@shop.example", "#decisions", driver)
            self.assertEqual(self.run_sql(sql), 1)
            self.find(".brand", driver).click()
            later = self.ask(sql + " -- later")
            self.find(f"#r-{later}", driver)  # by <meta http-equiv="refresh">
            self.find(".who button", driver).click()
            self.find("#sign-in", driver)
        finally:
            driver.quit()

    def test_frames_and_other_pages(self):
        """A page of somebody else's can neither show this one inside of it nor post to it."""
        ident = self.ask("INSERT INTO scratch.t VALUES (15, 'framed')")
        self.enter("dba")
        csrf = self.driver.execute_script("return document.querySelector('[name=csrf]').value")
        target = f"{self.gate.url}/requests/{ident}"
        self.idp.pages["evil"] = (f"<title>evil</title><iframe id=f src='{target}'></iframe><form id=g method=post action='{target}'>"
                                  f"<input name=csrf value='{csrf}'><input name=verdict value=approve><input name=reason value=x></form>")
        self.driver.get(self.idp.url + "/pages/evil")  # another origin
        stack.wait_until("the frame is refused", lambda: [m for m in self.complaints() if "frame-ancestors" in m or "X-Frame-Options" in m or "refused to connect" in m.lower()])
        self.driver.execute_script("document.getElementById('g').submit()")  # even with the form's secret
        self.until_text("This was not taken")
        self.assertEqual(self.state(ident), "pending")


if __name__ == "__main__":
    import unittest
    unittest.main()
