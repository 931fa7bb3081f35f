// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// Places that files go to, files that are opened, and memory that there is.
#include "unisparse/Support/AtomicFile.h"
#include "unisparse/Support/AvailableMemory.h"
#include "unisparse/Support/RegularFile.h"
#include "llvm/ADT/SmallString.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/Path.h"
#include "llvm/Support/raw_ostream.h"
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

using namespace llvm;
using namespace unisparse;

namespace {

class FilesTest : public testing::Test {
protected:
  void SetUp() override {
    ASSERT_FALSE(sys::fs::createUniqueDirectory("files", folder));
  }
  void TearDown() override { sys::fs::remove_directories(folder); }

  std::string at(StringRef name) {
    SmallString<128> path(folder);
    sys::path::append(path, name);
    return path.str().str();
  }
  void put(StringRef name, StringRef text) {
    sys::fs::create_directories(sys::path::parent_path(at(name)));
    std::error_code code;
    raw_fd_ostream(at(name), code) << text;
    ASSERT_FALSE(code);
  }
  std::string textOf(StringRef name) {
    auto file = MemoryBuffer::getFile(at(name));
    return file ? (*file)->getBuffer().str() : "";
  }
  std::string write(StringRef name) {
    return toString(writeFileAtomically(at(name), {StringRef("new")}));
  }

  SmallString<128> folder;
};

TEST_F(FilesTest, WritesThroughALinkThatLeadsNowhereYet) {
  sys::fs::create_directories(at("sub"));
  ASSERT_EQ(symlink("sub/second", at("first").c_str()), 0);
  ASSERT_EQ(symlink("end", at("sub/second").c_str()), 0);
  EXPECT_EQ(write("first"), "");
  EXPECT_TRUE(sys::fs::is_symlink_file(at("first")));
  EXPECT_TRUE(sys::fs::is_symlink_file(at("sub/second")));
  EXPECT_EQ(textOf("sub/end"), "new");
}

TEST_F(FilesTest, RefusesALinkToItself) {
  ASSERT_EQ(symlink("loop", at("loop").c_str()), 0);
  EXPECT_NE(write("loop").find("cannot write, expected a path that resolves"),
            std::string::npos);
  EXPECT_TRUE(sys::fs::is_symlink_file(at("loop")));
}

TEST_F(FilesTest, KeepsTheMode) {
  put("private", "old");
  ASSERT_FALSE(sys::fs::setPermissions(
      at("private"), sys::fs::owner_read | sys::fs::owner_write));
  EXPECT_EQ(write("private"), "");
  sys::fs::file_status status;
  ASSERT_FALSE(sys::fs::status(at("private"), status));
  EXPECT_EQ(status.permissions(), sys::fs::owner_read | sys::fs::owner_write);
  EXPECT_EQ(textOf("private"), "new");
}

TEST_F(FilesTest, OpensRegularFilesUpToASize) {
  put("four", "four");
  EXPECT_TRUE(!!openRegularFile(at("four"), 4));
  EXPECT_EQ(toString(openRegularFile(at("four"), 3).takeError()),
            at("four") + ": cannot open, expected at most 3 bytes, got 4");
  for (StringRef path : {StringRef("/dev/zero"), StringRef(folder)})
    EXPECT_EQ(
        toString(openRegularFile(path).takeError()),
        (path + ": cannot open, expected a regular file, got another kind")
            .str());
}

// What a group leaves is its limit less its use, of which pages of files do not
// count; a group above may leave less.
TEST_F(FilesTest, ControlGroupsOfVersion2) {
  put("memory.max", "max\n");
  put("memory.current", "5\n");
  put("a/memory.max", "1000\n");
  put("a/memory.current", "700\n");
  put("a/b/memory.max", "5000\n");
  put("a/b/memory.current", "700\n");
  EXPECT_EQ(readControlGroups("0::/a/b\n", folder), 300u);
  put("a/memory.stat", "anon 1\ninactive_file 200\n");
  EXPECT_EQ(readControlGroups("0::/a/b\n", folder), 500u);
  EXPECT_EQ(readControlGroups("0::/\n", folder), UINT64_MAX);
  EXPECT_EQ(readControlGroups("", folder), UINT64_MAX);
}

TEST_F(FilesTest, ControlGroupsOfVersion1) {
  // The group's path is the host's: the limit is at the root of the mount.
  put("memory/memory.limit_in_bytes", "1000\n");
  put("memory/memory.usage_in_bytes", "1200\n");
  EXPECT_EQ(readControlGroups("3:cpu,memory:/host/path\n", folder), 0u);
  EXPECT_EQ(readControlGroups("3:cpu:/host/path\n", folder), UINT64_MAX);
}

TEST(AvailableMemory, IsBoundedByTheProcess) {
  rlimit old;
  ASSERT_EQ(getrlimit(RLIMIT_AS, &old), 0);
  rlimit low = old;
  low.rlim_cur = 1 << 20; // Below what the process has: nothing is left.
  ASSERT_EQ(setrlimit(RLIMIT_AS, &low), 0);
  AvailableMemory memory = readAvailableMemory();
  ASSERT_EQ(setrlimit(RLIMIT_AS, &old), 0);
  EXPECT_EQ(memory.bytes, 0u);
  EXPECT_EQ(memory.bound, "the limit of address space");
}

} // namespace
