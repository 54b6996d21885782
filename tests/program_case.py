"""What tests of the program share: a folder of its own for every test, and a run of the program in it."""
import pathlib
import subprocess
import tempfile
import unittest


class ProgramCase(unittest.TestCase):
    program = ""  # its path, set before the tests run

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def ask(self, *arguments, status=0):
        """What it printed; it must end with that status."""
        done = subprocess.run([self.program, *arguments], cwd=self.folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.assertEqual(done.returncode, status, done.stdout)
        return done.stdout
